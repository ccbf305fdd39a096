"""The demo's server: its own files, to this machine, and nothing else."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import ROOT, assert_refused, call
from small_problem import small_snapshot

from supervised_reptile import cli_demo, demo_server, resources
from supervised_reptile.cli import reptile
from supervised_reptile.demo_server import HOST, make_server, read_site
from supervised_reptile.errors import UserError

PAGE = b"<!doctype html><title>demo</title>"
LARGE = 40_000_000  # more than the system keeps for a connection


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page as the build leaves it, with things beside it and in it that are nobody's business."""
    tmp_path = tmp_path_factory.mktemp("site")
    folder = tmp_path / "built"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_bytes(PAGE)
    (folder / "assets" / "main.js").write_text("1")
    (folder / "assets" / "tf.wasm").write_bytes(b"\0asm")
    (folder / "notes.md").write_text("not of a type that a page consists of")
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "secret.txt").write_text("secret")
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    (folder / "linked").symlink_to(tmp_path / "more")
    return folder


@contextlib.contextmanager
def serving(folder: Path, further: dict[str, bytes]) -> Iterator[int]:
    """The port of a server of `folder` while it serves."""
    with make_server(read_site(folder, further), 0) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.fixture(scope="module")
def port(built: Path) -> Iterator[int]:
    """The port on which the page is served."""
    with serving(built, {"model/weights.bin": b"1234"}) as number:
        yield number


def ask(
    port: int, path: str, method: str = "GET", headers: dict[str, str] | None = None
) -> tuple[http.client.HTTPResponse, bytes]:
    """The answer to a request with this very path."""
    connection = http.client.HTTPConnection(HOST, port, timeout=10)
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    for name, value in {"Host": f"{HOST}:{port}", **(headers or {})}.items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer, content


@pytest.mark.parametrize(
    ("path", "kind", "content"),
    [
        ("/", "text/html; charset=utf-8", PAGE),
        ("/index.html", "text/html; charset=utf-8", PAGE),
        ("/?backend=wasm", "text/html; charset=utf-8", PAGE),
        ("/assets/main.js", "text/javascript; charset=utf-8", b"1"),
        ("/assets/tf.wasm", "application/wasm", b"\0asm"),
        ("/model/weights.bin", "application/octet-stream", b"1234"),
    ],
)
def test_the_page_is_served(port: int, path: str, kind: str, content: bytes) -> None:
    answer, body = ask(port, path)
    assert (answer.status, answer.headers["Content-Type"], body) == (200, kind, content)
    answer, body = ask(port, path, "HEAD")
    assert (answer.status, answer.headers["Content-Length"]) == (200, str(len(content)))
    assert body == b""


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt",
        "/assets/../../secret.txt",
        "/..%2fsecret.txt",
        "/%2e%2e/secret.txt",
        "/%252e%252e/secret.txt",
        "/..\\secret.txt",
        "//etc/passwd",
        "/etc/passwd",
        "/link.txt",
        "/linked/secret.txt",
        "/notes.md",
        "/assets",
        "/assets/",
        "/index.html/",
        "/INDEX.HTML",
        "/%69ndex.html",
        "/index.html%00",
        "/index.html;x",
        "/./index.html",
        "index.html",
        "http://127.0.0.1/",
        "*",
        "/" + "a" * 5000,
        "/\xff\xfe",
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_nothing_else_is(port: int, path: str, method: str) -> None:
    connection = socket.create_connection((HOST, port), timeout=10)
    request = f"{method} {path} HTTP/1.1\r\nHost: {HOST}:{port}\r\nConnection: close\r\n\r\n"
    connection.sendall(request.encode("latin-1"))
    answer = b"".join(iter(lambda: connection.recv(65536), b""))
    connection.close()
    assert re.match(rb"HTTP/1\.1 (404|400|414) ", answer), answer
    assert b"secret" not in answer.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT"])
def test_nothing_can_be_changed(port: int, method: str) -> None:
    assert ask(port, "/", method)[0].status == 501
    assert ask(port, "/")[1] == PAGE


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1", "localhost:1", ""]
)
def test_only_under_its_own_name(port: int, host: str) -> None:
    assert ask(port, "/", headers={"Host": host})[0].status == 403
    assert ask(port, "/", headers={"Host": f"localhost:{port}"})[0].status == 200


def raw_answer(port: int, request: bytes) -> bytes:
    """All that comes back for these bytes."""
    with socket.create_connection((HOST, port), timeout=10) as connection:
        with contextlib.suppress(ConnectionError):  # it may be refused before it has been sent
            connection.sendall(request)
        answer = b""
        with contextlib.suppress(ConnectionError):
            while part := connection.recv(65536):
                answer += part
        return answer


@pytest.mark.parametrize(
    "request_",
    [
        b"GET / HTTP/1.1\r\nHost: %s\r\n" + b"X: 1\r\n" * 5000 + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: %s\r\nX: " + b"a" * 1_000_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 1_000_000 + b" HTTP/1.1\r\nHost: %s\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: %s\r\n\r\n",
        b"GET / HTTP/1.1 more\r\nHost: %s\r\n\r\n",
        b"GET / HTTP/1.1\r\nNo host: %s\r\n\r\n",
        b"\0\xff\xfe GET / %s\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03%s\r\n\r\n",  # TLS
    ],
    ids=["many headers", "huge header", "huge path", "version", "words", "host", "noise", "TLS"],
)
def test_odd_requests_are_refused(
    port: int, request_: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    address = f"{HOST}:{port}".encode()
    answer = raw_answer(port, request_.replace(b"%s", address))
    assert PAGE not in answer
    assert answer == b"" or re.match(rb"HTTP/1\.1 (400|403|414|431|505) ", answer), answer[:200]
    assert ask(port, "/")[1] == PAGE
    assert capfd.readouterr().err == ""


def test_requests_may_follow_each_other_on_a_connection(port: int) -> None:
    """Also before the answer to the first has been read; each is answered, in their order."""
    host = f"Host: {HOST}:{port}\r\n"
    requests = [f"{method} /assets/main.js HTTP/1.1\r\n{host}\r\n" for method in ("GET", "HEAD")]
    requests += [f"GET / HTTP/1.1\r\n{host}Connection: close\r\n\r\n"]
    answer = raw_answer(port, "".join(requests).encode())
    assert answer.count(b"HTTP/1.1 200 ") == 3
    assert answer.endswith(PAGE)


@pytest.mark.parametrize(
    "headers",
    [
        "Content-Length: 35",
        "Content-Length: 0",
        "Content-Length: -1",
        "Content-Length: 35\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked",
        "transfer-encoding : chunked",
        "Transfer-Encoding: identity",
        "Host: evil.example",
        " folded: line",
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS"])
def test_no_request_hides_in_another(port: int, method: str, headers: str) -> None:
    """What comes after an odd head is never taken for a request of its own."""
    own = f"Host: {HOST}:{port}\r\n"
    hidden = f"GET /assets/main.js HTTP/1.1\r\n{own}\r\n"
    request = f"{method} / HTTP/1.1\r\n{own}{headers}\r\n\r\n{hidden}"
    answer = raw_answer(port, request.encode())
    assert re.match(rb"HTTP/1\.1 (400|403|501) ", answer), answer
    assert answer.count(b"HTTP/1.1") == 1
    assert b"Connection: close\r\n" in answer


@pytest.mark.parametrize("line", [b"GET /", b"GET / HTTP/0.9", b"GET", b"", b"get / HTTP/1.1"])
def test_the_page_is_not_given_to_who_does_not_say_its_name(port: int, line: bytes) -> None:
    answer = raw_answer(port, line + b"\r\nConnection: close\r\n\r\n")
    assert PAGE not in answer
    # HTTP/0.9 has no headers in answers.
    assert re.match(rb"$|403 Forbidden\n$|HTTP/1\.1 (400|403|501|505) ", answer), answer


def test_parts_are_not_given(port: int) -> None:
    answer, content = ask(port, "/", headers={"Range": "bytes=0-3"})
    assert (answer.status, content) == (200, PAGE)


@pytest.fixture
def hasty(built: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The port of a server that waits half a second for nobody, and for three at a time at most."""
    monkeypatch.setattr(demo_server, "REQUEST_SECONDS", 0.5)
    monkeypatch.setattr(demo_server, "MOST_CONNECTIONS", 3)
    with serving(built, {"large.bin": bytes(LARGE)}) as number:
        yield number


@pytest.mark.parametrize("whole", [b"", b"GET / HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n"])
def test_who_sends_drop_by_drop_is_cut_off(hasty: int, whole: bytes) -> None:
    """Also after a request that was answered, on the same connection."""
    with socket.create_connection((HOST, hasty), timeout=10) as connection:
        connection.sendall(whole.replace(b"%d", str(hasty).encode()))
        with contextlib.suppress(ConnectionError):
            for letter in b"GET / HTTP/1.1\r\nX: " + b"a" * 500:
                connection.sendall(bytes([letter]))
                time.sleep(0.02)  # never half a second of silence
            pytest.fail("the connection was held for ten seconds")
    assert ask(hasty, "/")[1] == PAGE


def test_who_does_not_read_is_cut_off(hasty: int) -> None:
    with socket.create_connection((HOST, hasty), timeout=10) as connection:
        request = f"GET /large.bin HTTP/1.1\r\nHost: {HOST}:{hasty}\r\n\r\n"
        connection.sendall(request.encode())
        time.sleep(1.5)
        taken = 0
        with contextlib.suppress(ConnectionError):
            while part := connection.recv(1 << 20):
                taken += len(part)
    assert 0 < taken < LARGE


def test_one_connection_too_many_is_closed_at_once(
    built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that are taken may stay silent for as long as the server is up."""
    monkeypatch.setattr(demo_server, "REQUEST_SECONDS", 600)
    monkeypatch.setattr(demo_server, "MOST_CONNECTIONS", 3)
    with serving(built, {}) as port, contextlib.ExitStack() as stack:
        taken = [
            stack.enter_context(socket.create_connection((HOST, port), timeout=20))
            for _ in range(4)
        ]
        assert taken[3].recv(1) == b""
        request = f"GET / HTTP/1.1\r\nHost: {HOST}:{port}\r\n\r\n".encode()
        for connection in taken[:3]:
            connection.sendall(request)
            assert connection.recv(12) == b"HTTP/1.1 200"


def test_many_silent_connections_are_not_kept(hasty: int) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(30):
            stack.enter_context(socket.create_connection((HOST, hasty), timeout=10))
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:  # until the first three are given up
            with contextlib.suppress(OSError, http.client.HTTPException):
                assert ask(hasty, "/")[1] == PAGE
                return
            time.sleep(0.05)
    pytest.fail("silent connections kept others out for ten seconds")


def test_browsers_leave_out_the_port_that_is_usual() -> None:
    assert "127.0.0.1" in demo_server.own_names(80)
    assert "127.0.0.1" not in demo_server.own_names(8765)


@pytest.mark.parametrize(("path", "status"), [("/", 200), ("/nothing", 404)])
def test_a_strict_policy_goes_along(port: int, path: str, status: int) -> None:
    answer, _ = ask(port, path)
    assert answer.status == status
    policy = dict(
        part.split(" ", 1) for part in answer.headers["Content-Security-Policy"].split("; ")
    )
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == "'self' 'wasm-unsafe-eval'"
    assert policy["frame-ancestors"] == "'none'"
    assert "unsafe-inline" not in "".join(policy.values())
    assert "http" not in "".join(policy.values())
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_only_this_machine_is_listened_to(built: Path) -> None:
    with make_server(read_site(built), 0) as server:
        assert server.socket.getsockname()[0] == "127.0.0.1"


def test_a_port_in_use_is_said_to_be(built: Path, port: int) -> None:
    with pytest.raises(UserError, match=f"--port {port}: cannot be used"):
        make_server(read_site(built), port)


def test_a_page_that_was_not_built_is_said_to_be(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="make demo"):
        read_site(tmp_path)


def test_only_drawings_can_be_drawn() -> None:
    net = {"image_shape": [28, 28, 1], "way": 5, "filters": 64, "pooling": False, "blocks": 4}
    snapshot = dataclasses.replace(small_snapshot(drawings=True), net=net)
    cli_demo.check_drawable(snapshot)
    for other in ({"image_shape": [84, 84, 3]}, {"pooling": True}, {"way": 1}):
        with pytest.raises(UserError):
            cli_demo.check_drawable(dataclasses.replace(snapshot, net={**net, **other}))
    with pytest.raises(UserError, match="not trained on drawings"):
        cli_demo.check_drawable(dataclasses.replace(snapshot, drawings=False))


def test_refusals_of_the_command(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resources, "web_folder", lambda: tmp_path / "none")
    assert_refused(call("demo", command=reptile), "not built")
    monkeypatch.setattr(resources, "web_folder", lambda: built)
    outcome = call("demo", "--checkpoint", tmp_path / "none", command=reptile)
    assert_refused(outcome, "no such run directory")
    monkeypatch.chdir(tmp_path)
    outcome = call("demo", "--checkpoint", "./omniglot-5way", command=reptile)
    assert_refused(outcome, "no such run directory")
    assert_refused(call("demo", "--port", "70000", command=reptile), "--port", code=2)


def test_the_command_serves_until_interrupted(built: Path, finished: Path) -> None:
    program = (
        "from supervised_reptile import resources; from pathlib import Path;"
        f"resources.web_folder = lambda: Path({str(built)!r});"
        "from supervised_reptile.cli import main; main()"
    )
    words = [sys.executable, "-c", program, "demo", "--port", "0", "--checkpoint", str(finished)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            line = process.stdout.readline()
            port = int(re.search(r"http://127\.0\.0\.1:(\d+)/", line)[1])
            assert ask(port, "/")[1] == PAGE
            assert b'"outer_steps": 400' in ask(port, "/model/export.json")[1]
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 0
        finally:
            process.kill()
