"""The web server of the browser demo: a few files, on this machine only.

Every file is read once, when the server starts, and answers to exactly one path. A request can
name nothing else: there is no path on disk that a request takes part in.
"""

from __future__ import annotations

import io
import socket
import sys
import threading
import time
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from supervised_reptile.errors import UserError

HOST = "127.0.0.1"
START_PAGE = "index.html"
REQUEST_SECONDS = 20  # for a request to arrive whole, and again for its answer to be taken
MOST_CONNECTIONS = 64  # at a time; a browser opens six
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
    ".bin": "application/octet-stream",
}
# The page's own scripts, styles and data and nothing else; WebAssembly may be compiled.
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self' 'wasm-unsafe-eval'",
        "worker-src 'self'",
        "connect-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",
}

BODY = ("Content-Length", "Transfer-Encoding")  # headers of a request that brings something

Site = Mapping[str, tuple[str, bytes]]  # path of a request -> content type, content


def read_site(folder: Path, further: Mapping[str, bytes] | None = None) -> Site:
    """The files below `folder` by the paths they are asked for under.

    Links, and files of other types than a page consists of, are left out. `further` files, by
    their path in the folder, are added to them or take their place.

    Raises:
      UserError: there is no page in the folder.
    """
    contents = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not _is_link(path, folder)
    }
    contents.update(further or {})
    if START_PAGE not in contents:
        raise UserError(
            f"{folder}: the page is not built; run `make demo`, or `npm ci && npm run build` in web"
        )
    site = {
        f"/{name}": (TYPES[Path(name).suffix], content)
        for name, content in contents.items()
        if Path(name).suffix in TYPES
    }
    return {"/": site[f"/{START_PAGE}"], **site}


def _is_link(path: Path, folder: Path) -> bool:
    """Whether the file, or a folder on the way to it, is a symbolic link."""
    parts = path.relative_to(folder).parts
    return any(folder.joinpath(*parts[: i + 1]).is_symlink() for i in range(len(parts)))


class LocalServer(ThreadingHTTPServer):
    """A thread for each connection, and no more connections than a few browsers need."""

    daemon_threads = True
    request_queue_size = MOST_CONNECTIONS

    def __init__(self, port: int, site: Site) -> None:
        self._places = threading.BoundedSemaphore(MOST_CONNECTIONS)
        self.site = site
        super().__init__((HOST, port), _Handler)

    def process_request(self, request: socket.socket, client_address: tuple[str, int]) -> None:
        """Take a connection, or close it where there are enough of them."""
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # the system has no more threads
            self._places.release()
            raise

    def process_request_thread(
        self, request: socket.socket, client_address: tuple[str, int]
    ) -> None:
        """In the thread of the connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: socket.socket, client_address: tuple[str, int]) -> None:
        """Says what went wrong, but for clients that went away in the middle."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def make_server(site: Site, port: int) -> LocalServer:
    """A server of `site` on the loopback address, already listening; port 0 takes any free one.

    Raises:
      UserError: the port cannot be used.
    """
    try:
        return LocalServer(port, site)
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


class _Patient(io.RawIOBase):
    """Reads a connection until a moment that `wait` sets: drop by drop nobody holds it for ever."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.wait()

    def wait(self) -> None:
        """Begin to wait for a request."""
        self._until = time.monotonic() + REQUEST_SECONDS

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._connection.settimeout(left)
        try:
            return self._connection.recv_into(buffer)
        finally:
            self._connection.settimeout(REQUEST_SECONDS)  # for sending, which it bounds as a whole


class _Handler(BaseHTTPRequestHandler):
    server: LocalServer

    protocol_version = "HTTP/1.1"
    default_request_version = "HTTP/1.0"  # an answer to nonsense has a head as well
    server_version, sys_version = "reptile", ""
    error_content_type = TYPES[".txt"]
    error_message_format = "%(code)d %(message)s\n"

    def setup(self) -> None:
        super().setup()
        self.rfile.close()
        self._patient = _Patient(self.connection)
        self.rfile = io.BufferedReader(self._patient)

    def handle_one_request(self) -> None:
        self._patient.wait()
        super().handle_one_request()

    def do_GET(self) -> None:
        if (found := self._found()) is not None:
            self.wfile.write(found)

    def do_HEAD(self) -> None:
        self._found()

    def _found(self) -> bytes | None:
        """Send the head of the answer; returns the content, None after an error."""
        names = self.headers.get_all("Host", [])
        if len(names) != 1 or names[0] not in own_names(self.server.server_address[1]):
            return self.send_error(HTTPStatus.FORBIDDEN)
        # A body would be read as the next request, and so might what comes after a broken header.
        if self.headers.defects or any(name in self.headers for name in BODY):
            return self.send_error(HTTPStatus.BAD_REQUEST)
        entry = self.server.site.get(self.path.partition("?")[0])
        if entry is None:
            return self.send_error(HTTPStatus.NOT_FOUND)
        kind, content = entry
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        return content

    def end_headers(self) -> None:
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing: the terminal shows the address and stays quiet."""
