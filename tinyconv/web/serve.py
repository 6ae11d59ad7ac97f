"""Open the lab: find a port, say the address, and serve until Ctrl-C."""

import errno
import os
import secrets
import signal
import socket
import sys
import webbrowser
from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import uvicorn

from tinyconv.errors import ArgumentError
from tinyconv.web.bench import Bench
from tinyconv.web.server import Lab

PORT = 8421  # tried first
LOOPBACK = "127.0.0.1"
SETTINGS: dict[str, Any] = {  # uvicorn's
    "ws": "websockets-sansio",
    "ws_max_size": 2**20,  # bytes; the WebSocket of who sends more is closed
    "lifespan": "on",
    "log_level": "warning",
    "timeout_graceful_shutdown": 2,
}


def serve(
    *, host: str | None, port: int | None, backend: str, model_file: Path | None, open_browser: bool,
    say: Callable[[str], None],
) -> None:
    """Serve the lab page until Ctrl-C.

    Arguments:
        host: an address of this machine other than the loopback one makes a token; None for 127.0.0.1.
        port: None for `PORT` or, where that is taken, any free one.
        backend, model_file: see `Bench`.
        open_browser: whether to open the page, where there is a browser that would not take over the terminal.
        say: called with each line for the user.

    Raises ArgumentError when the address cannot be used.
    """
    with listen(host or LOOPBACK, port) as listener:
        number = listener.getsockname()[1]
        token = None if host is None or _is_loopback(host) else secrets.token_urlsafe(16)
        bench = Bench(backend=backend, model_file=model_file)
        lab = Lab(bench, port=number, token=token)
        address = f"http://{_name_for(host)}:{number}/" + (f"?token={token}" if token else "")
        say(f"The lab is open at {address}")
        if token:
            say("Whoever has this address can use it; nothing that is sent is encrypted.")
        say("Ctrl-C closes it.")
        if open_browser and _has_browser():
            webbrowser.open(address)
        _close_with_the_terminal()
        server = uvicorn.Server(uvicorn.Config(lab.app, **SETTINGS))
        with suppress(KeyboardInterrupt):  # the way to close the lab
            server.run(sockets=[listener])
        if lab.kept:
            say(f"Your network is kept: tinyconv lab open --model {lab.kept}")


def listen(host: str, port: int | None) -> socket.socket:
    """A socket that listens on `port` of `host`; on `PORT` or any other free port when `port` is None.

    Raises ArgumentError, with one sentence, when that is impossible.
    """
    try:
        return _bound(host, PORT if port is None else port)
    except OSError as problem:
        if port is None and problem.errno == errno.EADDRINUSE:
            return _bound(host, 0)
        if problem.errno == errno.EADDRINUSE:
            raise ArgumentError(f"Port {port} is taken: choose another one, or leave out --port.") from problem
        if isinstance(problem, socket.gaierror) or problem.errno == errno.EADDRNOTAVAIL:
            raise ArgumentError(f"{host} is not an address of this machine.") from problem
        raise ArgumentError(f"Cannot listen on port {port or PORT} of {host}: {problem.strerror}.") from problem


def _close_with_the_terminal() -> None:
    """Let a closed terminal end the lab as SIGTERM does, with the network kept; not where nohup has it ignored."""
    hangup = getattr(signal, "SIGHUP", None)  # Windows has none
    if hangup is not None and signal.getsignal(hangup) == signal.SIG_DFL:
        signal.signal(hangup, lambda *_: signal.raise_signal(signal.SIGTERM))


def _bound(host: str, port: int) -> socket.socket:
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        if os.name != "nt":  # there it would let two servers share a port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(128)  # connections wait here until the server is up
    except OSError:
        listener.close()
        raise
    return listener


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _name_for(host: str | None) -> str:
    """How others call this machine, when it listens on all of its addresses."""
    if host is None:
        return LOOPBACK
    if host in ("0.0.0.0", "::", ""):
        return socket.gethostname()
    return f"[{host}]" if ":" in host else host


def _has_browser() -> bool:
    """Whether opening a browser opens a window; on a machine without a screen, it would be one in the terminal."""
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
