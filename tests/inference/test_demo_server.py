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
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import ROOT, assert_refused, call
from small_problem import small_snapshot

from supervised_reptile.cli import demo
from supervised_reptile.cli.main import reptile
from supervised_reptile.errors import UserError
from supervised_reptile.inference import demo_server
from supervised_reptile.inference.demo_server import HOST, make_server, read_site
from supervised_reptile.system import package_files

PAGE = b"<!doctype html><title>demo</title>"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page as the build leaves it, and something beside it that is nobody's business."""
    folder = tmp_path_factory.mktemp("site") / "built"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_bytes(PAGE)
    (folder / "assets" / "main.js").write_text("1")
    (folder / "assets" / "tf.wasm").write_bytes(b"\0asm")
    (folder.parent / "secret.txt").write_text("secret")
    return folder


@pytest.fixture(scope="module")
def port(built: Path) -> Iterator[int]:
    """The port on which the page is served."""
    with make_server(read_site(built, {"model/weights.bin": b"1234"}), 0) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


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
        "/assets/",
        "/%69ndex.html",
        "/index.html%00",
        "/./index.html",
        "http://127.0.0.1/",
        "*",
        "/\xff\xfe",
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_nothing_else_is(port: int, path: str, method: str) -> None:
    request = f"{method} {path} HTTP/1.1\r\nHost: {HOST}:{port}\r\n\r\n"
    answer = raw_answer(port, request.encode("latin-1"))
    assert re.match(rb"HTTP/1\.0 (404|400) ", answer), answer
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


@pytest.mark.parametrize(
    "request_",
    [
        b"GET / HTTP/1.1\r\nHost: %s\r\nX: " + b"a" * 1_000_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nNo host: %s\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: %s\r\nHost: evil.example\r\n\r\n",
        b"GET /\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03%s\r\n\r\n",
    ],
    ids=["huge header", "no host", "two hosts", "HTTP/0.9", "TLS"],
)
def test_odd_requests_are_refused(
    port: int, request_: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    assert PAGE not in raw_answer(port, request_.replace(b"%s", f"{HOST}:{port}".encode()))
    assert ask(port, "/")[1] == PAGE
    assert capfd.readouterr().err == ""


def test_one_request_a_connection(port: int) -> None:
    """So nothing can hide a second request in a first."""
    request = f"GET /assets/main.js HTTP/1.1\r\nHost: {HOST}:{port}\r\n\r\n".encode()
    assert raw_answer(port, request * 2).count(b"HTTP/1.0 200 ") == 1


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
    demo.check_drawable(snapshot)
    for other in ({"image_shape": [84, 84, 3]}, {"pooling": True}, {"way": 1}):
        with pytest.raises(UserError):
            demo.check_drawable(dataclasses.replace(snapshot, net={**net, **other}))
    with pytest.raises(UserError, match="not trained on black-and-white drawings"):
        demo.check_drawable(dataclasses.replace(snapshot, drawings=False))


def test_refusals_of_the_command(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(package_files, "web_folder", lambda: tmp_path / "none")
    assert_refused(call("demo", command=reptile), "not built")
    monkeypatch.setattr(package_files, "web_folder", lambda: built)
    outcome = call("demo", "--checkpoint", tmp_path / "none", command=reptile)
    assert_refused(outcome, "no such run directory")
    monkeypatch.chdir(tmp_path)
    outcome = call("demo", "--checkpoint", "./omniglot-5way", command=reptile)
    assert_refused(outcome, "no such run directory")
    assert_refused(call("demo", "--port", "70000", command=reptile), "--port", code=2)


def test_the_command_serves_until_interrupted(built: Path, finished: Path) -> None:
    program = (
        "from supervised_reptile.system import package_files; from pathlib import Path;"
        f"package_files.web_folder = lambda: Path({str(built)!r});"
        "from supervised_reptile.cli.main import main; main()"
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
