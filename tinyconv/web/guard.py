"""Who may talk to the lab: whoever sits at this machine, or has the token.

On the loopback interface the danger is another web page in the same browser, which can send requests to 127.0.0.1 and,
by changing its own name's address (DNS rebinding), read the answers.  Such a page cannot choose the headers Host and
Origin: the first must be a name of this machine, the second must be this very page's.

On other interfaces a token is asked for, in the address the first time and in a cookie from then on.
"""

import secrets
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

LOOPBACK_NAMES = ("127.0.0.1", "localhost", "::1")
REFUSED = 403
HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Guard:
    """Lets requests and WebSockets through to `app` when they come from the lab's own page.

    Arguments:
        port: where the lab listens; part of the cookie's name, because browsers share cookies between ports.
        token: None on the loopback interface, where the name of the host is checked in its place.
    """

    def __init__(self, app: ASGIApp, *, port: int, token: str | None) -> None:
        self._app, self._token, self._cookie = app, token, f"tinyconv-lab-{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        problem = self._problem(scope, headers)
        if problem:
            await _refuse(scope, receive, send, problem)
        elif self._token is not None and _query_token(scope) and scope["type"] == "http":
            await self._welcome()(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _problem(self, scope: Scope, headers: Headers) -> str:
        """Why this request is refused, or nothing."""
        host, origin = headers.get("host", ""), headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return f"A page of {origin[:100]} may not use this lab."
        if self._token is None:
            name = urlsplit(f"//{host}").hostname
            return "" if name in LOOPBACK_NAMES else f"This lab is at 127.0.0.1, not at {host[:100]}."
        given = _query_token(scope) or self._cookie_token(headers)
        if not secrets.compare_digest(given.encode(), self._token.encode()):
            return "This lab asks for a token: use the whole address that `tinyconv lab open` has printed."
        return ""

    def _welcome(self) -> Response:
        """To the page's address without the token, which the browser keeps."""
        response = RedirectResponse("/", status_code=303)
        response.set_cookie(self._cookie, self._token or "", httponly=True, samesite="strict", path="/")
        return response

    def _cookie_token(self, headers: Headers) -> str:
        try:
            morsel = SimpleCookie(headers.get("cookie", "")).get(self._cookie)
        except CookieError:
            return ""
        return morsel.value if morsel else ""


def _query_token(scope: Scope) -> str:
    values = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("token")
    return values[0] if values else ""


async def _refuse(scope: Scope, receive: Receive, send: Send, sentence: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 4403, "reason": sentence[:120]})
    else:
        await PlainTextResponse(sentence + "\n", status_code=REFUSED)(scope, receive, send)
