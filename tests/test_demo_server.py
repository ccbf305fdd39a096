"""The demo's server: its own files, to this machine, and nothing else."""

from __future__ import annotations

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

from supervised_reptile import cli_demo, resources
from supervised_reptile.cli import reptile
from supervised_reptile.demo_server import HOST, make_server, read_site
from supervised_reptile.errors import UserError

PAGE = b"<!doctype html><title>demo</title>"


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """A page as the build leaves it, with things beside it and in it that are nobody's business."""
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


@pytest.fixture
def port(built: Path) -> Iterator[int]:
    """The port on which the page is served."""
    with make_server(read_site(built, {"model/weights.bin": b"1234"}), 0) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
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
    cli_demo.check_drawable(net)
    for other in ({"image_shape": [84, 84, 3]}, {"pooling": True}, {"way": 1}):
        with pytest.raises(UserError):
            cli_demo.check_drawable({**net, **other})


def test_refusals_of_the_command(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resources, "web_folder", lambda: tmp_path / "none")
    assert_refused(call("demo", command=reptile), "not built")
    monkeypatch.setattr(resources, "web_folder", lambda: built)
    outcome = call("demo", "--checkpoint", tmp_path / "none", command=reptile)
    assert_refused(outcome, "config.json is missing")
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
