"""The lab's server: one static page, and a WebSocket between each page and the bench.

A page is answered with the latest state of things, never with a queue of them: while a picture is being computed, sent
or painted, newer drawings replace each other, and the next picture is of the last one.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import Message, Scope
from starlette.websockets import WebSocket, WebSocketDisconnect

from tinyconv import saving
from tinyconv.errors import TinyconvError
from tinyconv.web import protocol
from tinyconv.web.bench import Bench
from tinyconv.web.guard import HEADERS, Guard
from tinyconv.web.view import View

PAGE = Path(__file__).parent / "page"
LARGEST_SENTENCE = 400
AHEAD = 2  # pictures under way to a page: while it paints one, the next is computed
PATIENCE = 2.0  # seconds; a page that is hidden paints nothing, and does not say so


class Lab:
    """The web application of one bench, which it closes when the server ends.

    `kept` is then the file with the network, if it was changed.
    """

    def __init__(self, bench: Bench, *, port: int, token: str | None = None) -> None:
        self.bench = bench
        self.kept: Path | None = None
        self._connections: set[Connection] = set()
        self.app = Starlette(
            routes=[
                WebSocketRoute("/bench", self._talk),
                Route("/network.safetensors", self._download),
                Mount("/", _Page(directory=PAGE, html=True)),
            ],
            middleware=[Middleware(Guard, port=port, token=token)],
            lifespan=self._life,
        )

    @asynccontextmanager
    async def _life(self, app: Starlette) -> AsyncIterator[None]:
        """While the server runs."""
        loop = asyncio.get_running_loop()
        self.bench.changed = lambda: _call_soon(loop, self._wake_all)
        yield
        self.kept = await asyncio.to_thread(self.bench.close)

    async def _talk(self, socket: WebSocket) -> None:
        """As long as a page is open."""
        await socket.accept()
        connection = Connection(self.bench, socket)
        self._connections.add(connection)
        self._count_pages()
        try:
            await connection.talk()
        finally:
            self._connections.discard(connection)
            self._count_pages()

    def _count_pages(self) -> None:
        self.bench.pages = len(self._connections)
        self._wake_all()

    def _wake_all(self) -> None:
        for connection in self._connections:
            connection.wake.set()

    async def _download(self, request: Request) -> Response:
        """The network as it is now, as a file that `tinyconv` and `load_model` read."""
        folder = TemporaryDirectory()
        path = Path(folder.name) / "network.safetensors"
        await asyncio.wrap_future(self.bench.submit(lambda: saving.save(self.bench.model, path)))
        return FileResponse(path, filename=path.name, headers=HEADERS, background=BackgroundTask(folder.cleanup))


class Connection:
    """One page: reads what it says, and writes what it should know whenever `wake` is set.

    A training makes more news than a slow phone can show.  Sent all the same, they would queue up in front of it, and
    it would show, and answer its visitor, half a minute late.  So a page says when it has painted a picture.
    """

    def __init__(self, bench: Bench, socket: WebSocket) -> None:
        self.wake = asyncio.Event()
        self._seen, self._ahead = asyncio.Event(), 0
        self._bench, self._socket, self._view = bench, socket, View(bench)

    async def talk(self) -> None:
        """Until the page goes away."""
        self.wake.set()
        writing = asyncio.create_task(self._write())
        try:
            await self._read()
        finally:
            writing.cancel()

    async def _read(self) -> None:
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            try:
                await self._understand(message)
            except TinyconvError as problem:
                await self._say(str(problem))

    async def _understand(self, message: Message) -> None:
        if message.get("bytes") is not None:
            protocol.take_drawing(self._view, message["bytes"])
        elif message.get("text") is not None:
            words = protocol.understand(message["text"])
            if words["do"] == "seen":  # here and now: in the worker's thread it would have to wait for a step
                self._ahead = max(0, self._ahead - 1)
                self._seen.set()
                return
            reply = await asyncio.wrap_future(self._bench.submit(protocol.do, self._bench, self._view, words))
            if reply is not None:
                await self._send(json.dumps(reply))
        self.wake.set()

    async def _write(self) -> None:
        try:
            while True:
                await self.wake.wait()
                self.wake.clear()
                await self._let_it_paint()
                for message in await self._news():
                    await self._send(message)
                    self._ahead += isinstance(message, bytes)
        except (WebSocketDisconnect, RuntimeError):  # the page has gone; `_read` notices too
            return

    async def _let_it_paint(self) -> None:
        """Wait while the page has not painted what it was sent, but not for ever."""
        try:
            async with asyncio.timeout(PATIENCE):
                while self._ahead >= AHEAD:
                    self._seen.clear()
                    await self._seen.wait()
        except TimeoutError:
            self._ahead = 0

    async def _news(self) -> list[str | bytes]:
        try:
            return await asyncio.wrap_future(self._bench.worker.submit(self._view.messages))
        except Exception as problem:  # a mistake of ours must not leave a page without any answer
            logging.getLogger("uvicorn.error").exception("No answer for a page")
            return [json.dumps({"kind": "problem", "sentence": f"The lab made a mistake: {problem!r}"})]

    async def _send(self, message: str | bytes) -> None:
        if isinstance(message, bytes):
            await self._socket.send_bytes(message)
        else:
            await self._socket.send_text(message)

    async def _say(self, sentence: str) -> None:
        await self._send(json.dumps({"kind": "problem", "sentence": sentence[:LARGEST_SENTENCE]}))


class _Page(StaticFiles):
    """The page's files, with the headers of `guard`."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers.update(HEADERS)
        return response


def _call_soon(loop: asyncio.AbstractEventLoop, function: Callable[[], None]) -> None:
    """Call `function` in the loop's thread, unless the loop has ended."""
    try:
        loop.call_soon_threadsafe(function)
    except RuntimeError:
        return
