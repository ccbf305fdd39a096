"""The web server of the browser demo: a few files, on this machine only.

Every file is read once, when the server starts, and answers to exactly one path. A request can
name nothing else: there is no path on disk that a request takes part in.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from supervised_reptile.errors import UserError

HOST = "127.0.0.1"
START_PAGE = "index.html"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
}
HEADERS = {
    # The page's own scripts, styles and data and nothing else; WebAssembly may be compiled.
    "Content-Security-Policy": "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; "
    "worker-src 'self'; connect-src 'self'; style-src 'self'; img-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",
}

Site = Mapping[str, bytes]  # path of a request -> content


def read_site(folder: Path, further: Mapping[str, bytes] | None = None) -> Site:
    """The files below `folder`, and `further` ones by their path in it.

    Raises:
      UserError: there is no page in the folder.
    """
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
    if START_PAGE not in files:
        raise UserError(
            f"{folder}: the page is not built; run `make demo`, or `npm ci && npm run build` in web"
        )
    files |= {"": files[START_PAGE], **(further or {})}
    return {f"/{name}": content for name, content in files.items()}


def make_server(site: Site, port: int) -> ThreadingHTTPServer:
    """A server of `site` on the loopback address, already listening; port 0 takes any free one.

    Raises:
      UserError: the port cannot be used.
    """
    try:
        return ThreadingHTTPServer((HOST, port), partial(_Handler, site))
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"--port {port}: cannot be used ({reason}); give another, or 0 for any that is free"
        ) from error


def own_names(port: int) -> set[str]:
    """What a browser on this machine calls the server.

    Under any other name a request comes from a page elsewhere that had its own name pointed here.
    """
    hosts = {HOST, "localhost"}
    return {f"{host}:{port}" for host in hosts} | (hosts if port == 80 else set())


class _Handler(BaseHTTPRequestHandler):
    """Answers one request of each connection."""

    timeout = 20  # seconds of silence

    def __init__(self, site: Site, *arguments: Any) -> None:
        self._site = site
        with contextlib.suppress(ConnectionError):  # a browser went away in the middle
            super().__init__(*arguments)

    def do_GET(self) -> None:
        hosts = self.headers.get_all("Host", [])
        if len(hosts) != 1 or hosts[0] not in own_names(self.connection.getsockname()[1]):
            self.send_error(HTTPStatus.FORBIDDEN)
            return
        path = self.path.partition("?")[0]
        if (content := self._site.get(path)) is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        suffix = Path(path).suffix if path != "/" else ".html"
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", TYPES.get(suffix, "application/octet-stream"))
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def do_HEAD(self) -> None:
        self.do_GET()

    def end_headers(self) -> None:
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing: the terminal shows the address and stays quiet."""
