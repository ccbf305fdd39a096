"""`fetch_data.sh` as it is, against a server on 127.0.0.1 that misbehaves on demand."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import os
import pickle
import pty
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from interruptions import random_kills
from PIL import Image

from supervised_reptile.data.layouts import find_layout

SCRIPT = Path(__file__).parents[1] / "fetch_data.sh"
BACKGROUND, EVALUATION = "images_background", "images_evaluation"
PICKLES = [f"mini-imagenet-cache-{split}.pkl" for split in ("train", "validation", "test")]
PAGE = b"<!DOCTYPE html>\n<html><title>Please log in</title></html>\n"

pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, ("bash", "curl"))), reason="fetch_data.sh needs bash and curl"
)


# ---------------------------------------------------------------- made data


def drawing(number: int) -> bytes:
    """A PNG like Omniglot's: 105x105, one bit a pixel; noise, so that it does not compress."""
    image = Image.frombytes("1", (105, 105), random.Random(number).randbytes(105 * 14))
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def zipped(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


@functools.cache
def omniglot_members(folder: str, alphabets: int, files: int = 20) -> dict[str, bytes]:
    """Two characters an alphabet, in the official archives' layout."""
    return {
        f"{folder}/{folder}_{a}/character{c:02}/{a:02}{c:02}_{i:02}.png": drawing(
            len(folder) + 1000 * (100 * a + c) + i
        )
        for a in range(1, alphabets + 1)
        for c in (1, 2)
        for i in range(1, files + 1)
    }


@functools.cache
def omniglot_files() -> dict[str, bytes]:
    """Path at the server -> archive."""
    return {
        f"/{BACKGROUND}.zip": zipped(omniglot_members(BACKGROUND, 3)),
        f"/{EVALUATION}.zip": zipped(omniglot_members(EVALUATION, 1)),
    }


@functools.cache
def miniimagenet_files() -> dict[str, bytes]:
    """Path at the server -> pickle; three images of each of two classes."""
    images = np.random.default_rng(0).integers(0, 256, (6, 84, 84, 3), dtype=np.uint8)
    return {
        f"/{name}": pickle.dumps(
            {
                "image_data": images + np.uint8(number),
                "class_dict": {
                    f"n0000000{2 * number + c}": [3 * c, 3 * c + 1, 3 * c + 2] for c in (0, 1)
                },
            },
            protocol=2,
        )
        for number, name in enumerate(PICKLES)
    }


# ---------------------------------------------------------------- the server


@dataclass(frozen=True)
class Reply:
    """One answer out of the ordinary.

    `cut_after`: close the connection after so many bytes of the content. `stall_after`:
    send so many and no more until the server's `resume` is set. `content` replaces the file.
    """

    status: int = 0  # 0: as usual, 200 or 206
    content: bytes | None = None
    content_type: str = "application/octet-stream"
    cut_after: int | None = None
    stall_after: int | None = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    path: str
    range: str | None
    if_range: str | None
    status: int


class Server:
    """Serves `files` with Range requests; `replies[path]` are used up before the usual ones."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = dict(files)
        self.replies: dict[str, list[Reply]] = defaultdict(list)
        self.requests: list[Request] = []
        self.ranges = True
        self.etag: Callable[[bytes], str | None] = lambda content: None
        self.stalled = threading.Event()
        self.resume = threading.Event()
        handler = type("Handler", (_Handler,), {"owner": self})
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"

    def requests_of(self, path: str) -> list[Request]:
        return [request for request in self.requests if request.path == path]


class _Handler(BaseHTTPRequestHandler):
    owner: Server

    def do_GET(self) -> None:
        replies = self.owner.replies[self.path]
        reply = replies.pop(0) if replies else Reply()
        content = self.owner.files.get(self.path) if reply.content is None else reply.content
        etag = None if content is None else self.owner.etag(content)
        status, start = self.judge(reply, content, etag)
        headers = self.headers
        self.owner.requests.append(
            Request(self.path, headers["Range"], headers["If-Range"], status)
        )
        self.send_response(status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        body = content[start:] if status in (200, 206) and content is not None else b""
        if status in (206, 416):
            span = f"{start}-{len(content) - 1}" if status == 206 else "*"
            self.send_header("Content-Range", f"bytes {span}/{len(content)}")
        if etag and status in (200, 206):
            self.send_header("ETag", etag)
        self.send_header("Content-Type", reply.content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.send_body(body, reply)

    def judge(self, reply: Reply, content: bytes | None, etag: str | None) -> tuple[int, int]:
        """(status, first byte to send)."""
        if reply.status:
            return reply.status, 0
        if content is None:
            return 404, 0
        wanted, version = self.headers["Range"], self.headers["If-Range"]
        if not wanted or not self.owner.ranges or (version and version != etag):
            return 200, 0
        start = int(wanted.removeprefix("bytes=").rstrip("-"))
        return (206, start) if start < len(content) else (416, start)

    def send_body(self, body: bytes, reply: Reply) -> None:
        with contextlib.suppress(ConnectionError):
            if reply.stall_after is not None:
                self.wfile.write(body[: reply.stall_after])
                self.wfile.flush()
                self.owner.stalled.set()
                self.owner.resume.wait(20)
            self.wfile.write(body[: reply.cut_after])

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server(omniglot_files() | miniimagenet_files())
    thread = threading.Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.resume.set()
    server.http.shutdown()
    thread.join()
    server.http.server_close()


# ---------------------------------------------------------------- running the script


@dataclass
class Fetcher:
    """Runs a copy of the script where no `reptile` is installed, so that only fetching counts."""

    script: Path
    data: Path
    env: dict[str, str]

    def __call__(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        return self.run([str(self.script), *arguments], **env)

    def run(self, command: list[str], **env: str) -> subprocess.CompletedProcess[str]:
        process = self.start(command, **env)
        out, errors = process.communicate(timeout=60)
        return subprocess.CompletedProcess(command, process.returncode, out, errors)

    def start(
        self, command: list[str], stderr: int = subprocess.PIPE, **env: str
    ) -> subprocess.Popen[str]:
        """In a process group of its own, in a folder from which nothing can be imported."""
        return subprocess.Popen(
            command,
            cwd=self.script.parent,
            env=self.env | env,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            start_new_session=True,
        )

    @property
    def omniglot(self) -> Path:
        return self.data / "omniglot"

    @property
    def miniimagenet(self) -> Path:
        return self.data / "miniimagenet"

    def leftovers(self) -> set[str]:
        """Names of everything below the data folder that is not finished data."""
        return {path.name for path in self.data.rglob(".fetch/*")}


@pytest.fixture
def fetch(server: Server, tmp_path: Path) -> Fetcher:
    checkout = tmp_path / "checkout"
    tools = tmp_path / "tools"
    checkout.mkdir()
    tools.mkdir()
    shutil.copy(SCRIPT, checkout)
    (tools / "python3").symlink_to(Path(sys.executable).resolve())
    path = [d for d in os.get_exec_path() if not (Path(d) / "reptile").exists()]
    env = {
        "PATH": os.pathsep.join([str(tools), *path]),
        "HOME": str(tmp_path),
        "REPTILE_CACHE": str(tmp_path / "cache"),
        "FETCH_DATA_DIR": str(tmp_path / "my data"),
        "FETCH_RETRY_DELAY": "0.01",
        "OMNIGLOT_URL": server.url,
        "MINIIMAGENET_URL": server.url,
        "no_proxy": "*",
    }
    return Fetcher(checkout / SCRIPT.name, tmp_path / "my data", env)


def files_below(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def touch(folder: Path, names: Iterable[str]) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def all_omniglot() -> dict[str, bytes]:
    return omniglot_members(BACKGROUND, 3) | omniglot_members(EVALUATION, 1)


def assert_failed(result: subprocess.CompletedProcess[str], *words: str) -> None:
    """Exit status 1 and exactly one line that says what is wrong, with these words."""
    assert result.returncode == 1, result.stderr
    errors = [line for line in result.stderr.splitlines() if "error: " in line]
    assert len(errors) == 1, result.stderr
    for word in words:
        assert word in errors[0]
    assert "Traceback" not in result.stderr


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.005)


def kill_group(process: subprocess.Popen[str]) -> None:
    """kill -9 for the script and everything that it started."""
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


# ---------------------------------------------------------------- what arrives


def test_both_sets_arrive_whole_and_nothing_else_is_left(fetch: Fetcher) -> None:
    result = fetch()
    assert result.returncode == 0, result.stderr
    assert files_below(fetch.omniglot) == all_omniglot()
    assert files_below(fetch.miniimagenet) == {
        path[1:]: content for path, content in miniimagenet_files().items()
    }
    assert "reptile data verify" in result.stdout  # not installed: how to do it later
    assert "pip install" in result.stdout


def test_second_run_fetches_nothing(fetch: Fetcher, server: Server) -> None:
    fetch()
    before = {path: path.stat().st_mtime_ns for path in fetch.data.rglob("*")}
    server.requests.clear()
    result = fetch()
    assert result.returncode == 0
    assert result.stdout.count("nothing to fetch") == 2
    assert server.requests == []
    assert {path: path.stat().st_mtime_ns for path in fetch.data.rglob("*")} == before


def test_named_set_alone(fetch: Fetcher) -> None:
    assert fetch("omniglot").returncode == 0
    assert fetch.omniglot.is_dir()
    assert not fetch.miniimagenet.exists()


def test_failure_of_one_set_does_not_stop_the_other(fetch: Fetcher, server: Server) -> None:
    del server.files[f"/{BACKGROUND}.zip"]
    assert_failed(fetch(), f"{BACKGROUND}.zip", "404")
    assert len(files_below(fetch.miniimagenet)) == 3
    assert not (fetch.omniglot / EVALUATION).exists()


def test_what_the_user_has_is_left_alone(fetch: Fetcher, server: Server) -> None:
    own = fetch.omniglot / BACKGROUND / "Mine" / "character01" / "1.png"
    own.parent.mkdir(parents=True)
    own.write_bytes(drawing(1))
    assert fetch("omniglot").returncode == 0
    assert server.requests_of(f"/{BACKGROUND}.zip") == []
    expected = omniglot_members(EVALUATION, 1)
    assert files_below(fetch.omniglot) == {
        f"{BACKGROUND}/Mine/character01/1.png": drawing(1),
        **expected,
    }


def test_imported_store_counts_as_the_data_set(fetch: Fetcher, server: Server) -> None:
    fetch.miniimagenet.mkdir(parents=True)
    (fetch.miniimagenet / "store.json").write_text("{}")
    assert "nothing to fetch" in fetch("miniimagenet").stdout
    assert server.requests == []


@pytest.mark.parametrize(
    "names",
    [
        ["train.csv", "val.csv", "test.csv", "images.zip"],
        ["train.csv", "val.csv", "test.csv", "images/1.jpg"],
        ["train.tar.gz", "val.tar.gz", "test.tar.gz"],
        ["train.zip", "valid.tgz", "test.tar.xz"],
        ["train/a/1.jpg", "valid/b/1.jpg", "test/c/1.jpg"],
        ["train/a/1.jpg", "validation/b/1.jpg", "test/c/1.jpg"],
        ["mini/train/a/1.jpg", "mini/val/b/1.jpg", "mini/test/c/1.jpg"],
    ],
    ids=" ".join,
)
def test_what_is_read_in_another_form_is_not_fetched(
    fetch: Fetcher, server: Server, names: list[str]
) -> None:
    touch(fetch.miniimagenet, names)
    assert find_layout(fetch.miniimagenet)
    assert "nothing to fetch" in fetch("miniimagenet").stdout
    assert server.requests == []


@pytest.mark.parametrize(
    "names",
    [
        ["train.zip", "test.zip"],
        ["train.csv", "val.csv", "test.csv"],
        ["train/a/1.jpg", "val.zip", "test/c/1.jpg"],
        ["all.zip"],
        ["one/train/a/1.jpg", "one/val/b/1.jpg", "one/test/c/1.jpg", "two/1.jpg"],
    ],
    ids=" ".join,
)
def test_a_part_of_the_set_is_not_taken_for_it(
    fetch: Fetcher, server: Server, names: list[str]
) -> None:
    touch(fetch.miniimagenet, names)
    assert fetch("miniimagenet").returncode == 0
    assert set(names) | set(PICKLES) == set(files_below(fetch.miniimagenet))


def test_file_urls_and_spaces(fetch: Fetcher, tmp_path: Path) -> None:
    source = tmp_path / "a source"
    source.mkdir()
    for name, content in omniglot_files().items():
        (source / name[1:]).write_bytes(content)
    result = fetch("omniglot", OMNIGLOT_URL=f"file://{source}/")
    assert result.returncode == 0, result.stderr
    assert "not the official archive" in result.stderr
    assert files_below(fetch.omniglot) == all_omniglot()


def test_missing_file_url(fetch: Fetcher, tmp_path: Path) -> None:
    result = fetch("omniglot", OMNIGLOT_URL=f"file://{tmp_path}/nowhere")
    assert_failed(result, "no such file", "nowhere")


def test_miniimagenet_as_zips(fetch: Fetcher, server: Server) -> None:
    zips = {
        f"{split}.zip": zipped({f"{split}/n01/1.jpg": drawing(2)})
        for split in ("train", "val", "test")
    }
    server.files = {f"/{name}": content for name, content in zips.items()}
    assert fetch("miniimagenet").returncode == 0
    assert files_below(fetch.miniimagenet) == zips
    assert len(server.requests) == 4  # the first pickle, which is not there, and the three


def test_miniimagenet_without_any_layout(fetch: Fetcher, server: Server) -> None:
    server.files = {}
    assert_failed(fetch("miniimagenet"), "404", "--help")
    assert len(server.requests) == 2


def test_redirections_are_followed_but_not_into_this_machine(
    fetch: Fetcher, server: Server, tmp_path: Path
) -> None:
    path = f"/{BACKGROUND}.zip"
    server.files["/elsewhere.zip"] = server.files[path]
    server.replies[path].append(Reply(302, headers={"Location": "/elsewhere.zip"}))
    assert fetch("omniglot").returncode == 0
    shutil.rmtree(fetch.omniglot)
    secret = tmp_path / "secret.zip"
    secret.write_bytes(server.files[path])
    server.replies[path].append(Reply(302, headers={"Location": f"file://{secret}"}))
    assert_failed(fetch("omniglot"), f"{BACKGROUND}.zip")


# ---------------------------------------------------------------- servers that fail


def test_cut_connections_are_continued(fetch: Fetcher, server: Server) -> None:
    path = f"/{BACKGROUND}.zip"
    server.replies[path] = [Reply(cut_after=50_000), Reply(cut_after=20_000)]
    result = fetch("omniglot")
    assert result.returncode == 0, result.stderr
    requests = [(request.range, request.status) for request in server.requests_of(path)]
    assert requests == [(None, 200), ("bytes=50000-", 206), ("bytes=70000-", 206)]
    assert "connection was cut" in result.stderr
    assert files_below(fetch.omniglot) == all_omniglot()


def test_server_that_ignores_ranges(fetch: Fetcher, server: Server) -> None:
    path = f"/{BACKGROUND}.zip"
    server.ranges = False
    server.replies[path] = [Reply(cut_after=50_000)]
    assert fetch("omniglot").returncode == 0
    assert [request.status for request in server.requests_of(path)] == [200, 200, 200]
    assert files_below(fetch.omniglot) == all_omniglot()


def test_temporary_failure_is_tried_again(fetch: Fetcher, server: Server) -> None:
    path = f"/{BACKGROUND}.zip"
    server.replies[path] = [Reply(503), Reply(429)]
    result = fetch("omniglot")
    assert result.returncode == 0
    assert [request.status for request in server.requests_of(path)] == [503, 429, 200]
    assert "HTTP status 503; trying again in 0.01 s (2 of 8)" in result.stderr
    assert "HTTP status 429; trying again in 0.02 s (3 of 8)" in result.stderr


def test_503_in_the_middle_keeps_what_was_fetched(fetch: Fetcher, server: Server) -> None:
    path = f"/{BACKGROUND}.zip"
    server.etag = lambda content: '"version 1"'
    server.replies[path] = [Reply(cut_after=50_000), Reply(503, content=PAGE)]
    assert fetch("omniglot").returncode == 0
    last = server.requests_of(path)[-1]
    assert last == Request(path, "bytes=50000-", '"version 1"', 206)
    assert files_below(fetch.omniglot) == all_omniglot()


def test_retries_are_bounded(fetch: Fetcher, server: Server) -> None:
    path = f"/{BACKGROUND}.zip"
    server.replies[path] = [Reply(500)] * 9
    assert_failed(fetch("omniglot", FETCH_RETRIES="3"), "gave up after 3 tries", "500")
    assert len(server.requests) == 3
    assert not (fetch.omniglot / BACKGROUND).exists()


def test_no_server(fetch: Fetcher) -> None:
    result = fetch("omniglot", OMNIGLOT_URL="http://127.0.0.1:1", FETCH_RETRIES="2")
    assert_failed(result, "no connection")


@pytest.mark.parametrize("status", [404, 403, 400])
def test_refusals_are_final(fetch: Fetcher, server: Server, status: int) -> None:
    server.replies[f"/{BACKGROUND}.zip"] = [Reply(status, content=PAGE)]
    assert_failed(fetch("omniglot"), f"{BACKGROUND}.zip", str(status))
    assert len(server.requests) == 1


# ---------------------------------------------------------------- wrong content


@pytest.mark.parametrize(
    ("page", "words"),
    [
        (PAGE, ("sent a web page", "<!DOCTYPE html>")),
        (b"\n\n  <html><body>hello", ("sent a web page", "<html><body>hello")),
        (b'{"message": "rate limit"}', ("not a zip file", '{"message": "rate limit"}')),
        (b"", ("empty",)),
    ],
)
def test_web_page_instead_of_archive(
    fetch: Fetcher, server: Server, page: bytes, words: tuple[str, ...]
) -> None:
    server.replies[f"/{BACKGROUND}.zip"] = [Reply(content=page)]
    assert_failed(fetch("omniglot"), f"{BACKGROUND}.zip", *words)
    assert len(server.requests) == 1
    assert fetch.leftovers() == {"lock"}
    assert fetch("omniglot").returncode == 0  # the page is in nobody's way


def test_web_page_instead_of_pickle(fetch: Fetcher, server: Server) -> None:
    server.files[f"/{PICKLES[1]}"] = PAGE
    assert_failed(fetch("miniimagenet"), PICKLES[1], "web page", "<!DOCTYPE html>")
    assert set(files_below(fetch.miniimagenet)) - {".fetch/lock"} == {PICKLES[0]}


def test_web_page_instead_of_the_rest_keeps_what_was_fetched(
    fetch: Fetcher, server: Server
) -> None:
    path = f"/{BACKGROUND}.zip"
    login = Reply(200, content=PAGE, content_type="text/html; charset=utf8")
    server.replies[path] = [Reply(cut_after=50_000), login]
    assert_failed(fetch("omniglot"), "web page", "kept")
    assert fetch("omniglot").returncode == 0
    assert server.requests_of(path)[-1].range == "bytes=50000-"


def md5s_of(*contents: bytes) -> str:
    return " ".join(hashlib.md5(content, usedforsecurity=False).hexdigest() for content in contents)


def test_checksums(fetch: Fetcher, server: Server) -> None:
    background, evaluation = omniglot_files().values()
    official = "68d2efa1b9178cc56df9314c21c6e718 6b91aef0f799c5bb55b94e3f2daec811"
    wrong = fetch("omniglot", OMNIGLOT_MD5=official)
    found = md5s_of(background)
    assert_failed(wrong, f"{BACKGROUND}.zip", "wrong checksum", found, official[:32])
    assert len(server.requests) == 1  # it came in one piece: no reason to fetch it again
    assert fetch.leftovers() == {"lock"}
    swapped = md5s_of(background, background)
    assert_failed(fetch("omniglot", OMNIGLOT_MD5=swapped), f"{EVALUATION}.zip", "wrong checksum")
    assert not (fetch.omniglot / BACKGROUND).exists()  # alone it is not Omniglot
    assert fetch("omniglot", OMNIGLOT_MD5=md5s_of(background, evaluation)).returncode == 0


def test_checksum_that_the_server_announces(fetch: Fetcher, server: Server) -> None:
    server.etag = lambda content: f'"md5:{md5s_of(content)}"'
    assert fetch("miniimagenet").returncode == 0
    shutil.rmtree(fetch.miniimagenet)
    server.etag = lambda content: f'"md5:{"0" * 32}"'
    assert_failed(fetch("miniimagenet"), PICKLES[0], "wrong checksum", "0" * 32)
    assert not (fetch.miniimagenet / PICKLES[0]).exists()


def test_damaged_archive_without_a_checksum(fetch: Fetcher, server: Server) -> None:
    path = f"/{BACKGROUND}.zip"
    middle = len(server.files[path]) // 2
    server.files[path] = server.files[path][:middle] + b"!" * 9 + server.files[path][middle + 9 :]
    assert_failed(fetch("omniglot"), f"{BACKGROUND}.zip", "damaged")
    assert not (fetch.omniglot / BACKGROUND).exists()


def test_archive_whose_table_is_damaged(fetch: Fetcher, server: Server) -> None:
    path = f"/{BACKGROUND}.zip"
    content = bytearray(server.files[path])
    entry = content.index(b"PK\x01\x02")
    content[entry + 9] |= 0x08  # names are UTF-8 ...
    content[entry + 46] = 0xFF  # ... and this one is not
    server.files[path] = bytes(content)
    assert_failed(fetch("omniglot"), f"{BACKGROUND}.zip", "damaged")


def test_pickle_cut_short(fetch: Fetcher, server: Server) -> None:
    path = f"/{PICKLES[0]}"
    server.files[path] = server.files[path][:-1]
    assert_failed(fetch("miniimagenet"), PICKLES[0], "cut short")


def test_joined_pieces_of_two_versions_are_fetched_again(fetch: Fetcher, server: Server) -> None:
    path = f"/{BACKGROUND}.zip"
    server.replies[path] = [Reply(cut_after=50_000)]
    fetch("omniglot", FETCH_RETRIES="1")
    server.files[path] = zipped(omniglot_members(BACKGROUND, 3, files=19))
    assert fetch("omniglot").returncode == 0  # the server does not tell versions apart
    ranges = [request.range for request in server.requests_of(path)]
    assert ranges == [None, "bytes=50000-", None]
    expected = omniglot_members(BACKGROUND, 3, files=19) | omniglot_members(EVALUATION, 1)
    assert files_below(fetch.omniglot) == expected


def test_server_that_tells_versions_apart(fetch: Fetcher, server: Server) -> None:
    """The changed file is not joined to the old start, although pickles carry no checksum."""
    path = f"/{PICKLES[0]}"
    server.etag = lambda content: f'"{len(content)}"'
    server.replies[path] = [Reply(cut_after=50_000)]
    fetch("miniimagenet", FETCH_RETRIES="1")
    old, server.files[path] = server.files[path], pickle.dumps(list(range(99_999)))
    assert fetch("miniimagenet").returncode == 0
    continued = server.requests_of(path)[1]
    assert continued == Request(path, "bytes=50000-", f'"{len(old)}"', 200)
    assert (fetch.miniimagenet / PICKLES[0]).read_bytes() == server.files[path]


def test_unfinished_file_of_another_source_is_not_continued(fetch: Fetcher, server: Server) -> None:
    path = f"/{PICKLES[0]}"
    server.replies[path] = [Reply(cut_after=50_000)]
    fetch("miniimagenet", FETCH_RETRIES="1")
    other = {f"/mirror{name}": content for name, content in miniimagenet_files().items()}
    server.files.update(other)
    assert fetch("miniimagenet", MINIIMAGENET_URL=f"{server.url}/mirror").returncode == 0
    assert [request.range for request in server.requests_of(f"/mirror{path}")] == [None]


def hostile(name: str, link: bool = False) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(f"{BACKGROUND}/Alphabet/character01/0001_01.png", drawing(1))
        member = zipfile.ZipInfo(name)
        member.external_attr = (0o120777 if link else 0o100644) << 16
        archive.writestr(member, "/etc")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("name", "link", "checksum"),
    [
        ("../../../evil.png", False, False),
        (f"{BACKGROUND}/../../../../evil.png", False, False),
        (f"{BACKGROUND}/../../../../evil.png", False, True),  # refused only when unpacking
        (f"{BACKGROUND}\\..\\..\\evil.png", False, False),
        ("{tmp}/evil.png", False, False),
        ("C:\\evil.png", False, False),
        (f"{BACKGROUND}/evil.png", True, False),
    ],
)
def test_members_that_leave_the_folder(
    fetch: Fetcher, server: Server, tmp_path: Path, name: str, link: bool, checksum: bool
) -> None:
    content = hostile(name.format(tmp=tmp_path), link)
    server.files[f"/{BACKGROUND}.zip"] = content
    md5s = md5s_of(content, omniglot_files()[f"/{EVALUATION}.zip"]) if checksum else ""
    result = fetch("omniglot", OMNIGLOT_MD5=md5s)
    assert_failed(result, f"{BACKGROUND}.zip", "refused", "evil.png")
    assert list(tmp_path.rglob("*evil*")) == []
    assert not (fetch.omniglot / BACKGROUND).exists()


def test_archive_of_something_else(fetch: Fetcher, server: Server) -> None:
    server.files[f"/{BACKGROUND}.zip"] = zipped({"strokes/1.txt": b"1"})
    assert_failed(fetch("omniglot"), f"no folder {BACKGROUND}/")


# ---------------------------------------------------------------- interruptions


def test_kill_while_downloading(fetch: Fetcher, server: Server) -> None:
    path = f"/{BACKGROUND}.zip"
    server.replies[path] = [Reply(stall_after=100_000)]
    process = fetch.start([str(fetch.script), "omniglot"])
    part = fetch.omniglot / ".fetch" / f"{BACKGROUND}.zip.part"
    assert server.stalled.wait(20)
    wait_until(lambda: part.exists() and part.stat().st_size > 0)
    kill_group(process)
    size = part.stat().st_size
    assert not (fetch.omniglot / BACKGROUND).exists()
    server.resume.set()
    assert fetch("omniglot").returncode == 0
    again = server.requests_of(path)[1]
    assert (again.range, again.status) == (f"bytes={size}-", 206)
    assert files_below(fetch.omniglot) == all_omniglot()


def test_kill_while_unpacking(fetch: Fetcher, server: Server) -> None:
    path = f"/{BACKGROUND}.zip"
    members = {f"{BACKGROUND}/Alphabet/character01/{i:05}.png": b"%d" % i for i in range(2000)}
    server.files[path] = zipped(members)
    process = fetch.start([str(fetch.script), "omniglot"])
    unpacked = fetch.omniglot / ".fetch" / "unpacked"
    wait_until(unpacked.exists)
    kill_group(process)
    final = fetch.omniglot / BACKGROUND
    found = len(list(final.rglob("*.png")))  # on a slow day the kill may come too late
    assert found in (0, len(members))
    assert fetch("omniglot").returncode == 0
    again = [request.status for request in server.requests_of(path)[1:]]
    assert again == ([] if found else [416])  # nothing is sent a second time
    assert files_below(fetch.omniglot) == members | omniglot_members(EVALUATION, 1)


@pytest.mark.parametrize("count", [5, pytest.param(60, marks=pytest.mark.soak)])
def test_killed_anywhere(fetch: Fetcher, count: int) -> None:
    began = time.monotonic()
    assert fetch().returncode == 0
    seconds, wanted = time.monotonic() - began, files_below(fetch.data)
    shutil.rmtree(fetch.data)
    for number, delay in random_kills(f"fetch {count}", seconds, count, earliest=0):
        process = fetch.start([str(fetch.script)])
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(delay)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        process.communicate(timeout=20)
        assert process.returncode in (0, -number, 128 + number)
        if process.returncode == 0:
            assert files_below(fetch.data) == wanted
            shutil.rmtree(fetch.data)
    assert fetch().returncode == 0
    assert files_below(fetch.data) == wanted


def test_kill_before_the_last_sweep(fetch: Fetcher, server: Server) -> None:
    fetch("omniglot")
    (fetch.omniglot / ".fetch" / "unpacked").mkdir(parents=True)
    assert "nothing to fetch" in fetch("omniglot").stdout
    assert files_below(fetch.omniglot) == all_omniglot()
    assert not (fetch.omniglot / ".fetch").exists()


def test_control_c(fetch: Fetcher, server: Server) -> None:
    server.replies[f"/{BACKGROUND}.zip"] = [Reply(stall_after=100_000)]
    process = fetch.start([str(fetch.script)])
    assert server.stalled.wait(20)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert errors == "fetch_data.sh: interrupted; run the same command again to continue\n"
    assert not fetch.miniimagenet.exists()  # it does not go on with the other set
    server.resume.set()
    assert fetch("omniglot").returncode == 0


def test_two_at_once(fetch: Fetcher, server: Server) -> None:
    server.replies[f"/{BACKGROUND}.zip"] = [Reply(stall_after=100_000)]
    first = fetch.start([str(fetch.script), "omniglot"])
    assert server.stalled.wait(20)
    assert_failed(fetch("omniglot"), "another fetch_data.sh is at work")
    server.resume.set()
    first.communicate(timeout=20)
    assert fetch("omniglot").returncode == 0


# ---------------------------------------------------------------- this machine


def test_destination_that_cannot_be_made(fetch: Fetcher, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = fetch("omniglot", FETCH_DATA_DIR=str(tmp_path / "file" / "data"))
    assert_failed(result, "cannot make the folder", "Not a directory")


def test_no_room(fetch: Fetcher, server: Server) -> None:
    """A limit of 64 kB a file stands in for the full disk: writes fail alike."""
    command = f'trap "" XFSZ; ulimit -f 64; exec "{fetch.script}" omniglot'
    result = fetch.run(["bash", "-c", command])
    assert_failed(result, "cannot write", "File too large", str(fetch.omniglot))
    assert len(result.stderr.splitlines()) == 1
    assert not (fetch.omniglot / BACKGROUND).exists()
    assert fetch("omniglot").returncode == 0
    assert server.requests[1].range == "bytes=65536-"


def test_a_tilde_that_no_shell_expanded(fetch: Fetcher, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    result = fetch("omniglot", FETCH_DATA_DIR="~/data", HOME=str(tmp_path / "home"))
    assert (tmp_path / "home" / "data" / "omniglot").is_dir(), result.stderr
    assert not (fetch.script.parent / "~").exists()
    result = fetch("omniglot", FETCH_DATA_DIR="~someone/data")
    assert result.returncode == 2
    assert "FETCH_DATA_DIR='~someone/data'" in result.stderr


def test_progress_bars_on_a_terminal_only(fetch: Fetcher) -> None:
    assert fetch("miniimagenet").stderr == ""
    shutil.rmtree(fetch.miniimagenet)
    terminal, end = pty.openpty()
    process = fetch.start([str(fetch.script), "miniimagenet"], stderr=end)
    os.close(end)
    shown = b""
    with contextlib.suppress(OSError):  # how Linux reports the other end's closing
        while chunk := os.read(terminal, 65536):
            shown += chunk
    os.close(terminal)
    process.communicate(timeout=20)
    assert process.returncode == 0
    assert b"100" in shown
    assert b"%" in shown


# ---------------------------------------------------------------- verification


@pytest.fixture
def installed(fetch: Fetcher) -> Fetcher:
    """Runs the script in its own place, where it finds the `reptile` that is being tested."""
    path = os.pathsep.join([str(Path(sys.executable).parent), *os.get_exec_path()])
    return Fetcher(SCRIPT, fetch.data, fetch.env | {"PATH": path})


def test_verdict_is_the_last_line(installed: Fetcher) -> None:
    result = installed()
    assert result.returncode == 0, result.stderr
    verdicts = [line for line in result.stdout.splitlines() if line.startswith("usable: ")]
    assert len(verdicts) == 2
    assert result.stdout.splitlines()[-1] == verdicts[-1]


@pytest.mark.parametrize("content", [b"", PAGE])
def test_broken_content_is_a_failure(installed: Fetcher, server: Server, content: bytes) -> None:
    members = omniglot_members(EVALUATION, 1)
    name = min(members)
    server.files[f"/{EVALUATION}.zip"] = zipped({**members, name: content})
    result = installed("omniglot")
    assert_failed(result, "verification", "reptile data verify")
    assert result.stdout.splitlines()[-1].startswith("broken: ")
    assert name in result.stdout.splitlines()[-1]


def test_pickles_that_call_something_are_broken(installed: Fetcher, server: Server) -> None:
    class Call:
        def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
            return os.system, (f"touch '{installed.data}/called'",)

    server.files[f"/{PICKLES[2]}"] = pickle.dumps({"image_data": Call(), "class_dict": {}})
    result = installed("miniimagenet")
    assert_failed(result, "verification")
    assert "broken: " in result.stdout
    assert not (installed.data / "called").exists()


# ---------------------------------------------------------------- usage


def test_help(fetch: Fetcher, server: Server) -> None:
    result = fetch("--help")
    assert result.returncode == 0
    for word in ("OMNIGLOT_URL", "MINIIMAGENET_URL", "ILSVRC2012_img_train.tar", "Exit status"):
        assert word in result.stdout
    assert "set -e" not in result.stdout
    assert server.requests == []


@pytest.mark.parametrize(
    ("arguments", "env", "word"),
    [
        (("cifar",), {}, "'cifar'"),
        ((), {"OMNIGLOT_URL": "/data/omniglot"}, "OMNIGLOT_URL"),
        ((), {"MINIIMAGENET_URL": "ftp://host/data"}, "MINIIMAGENET_URL"),
        ((), {"OMNIGLOT_MD5": "0" * 32}, "2 checksums"),
        ((), {"MINIIMAGENET_MD5": "nonsense"}, "3 checksums"),
        ((), {"FETCH_RETRIES": "0"}, "FETCH_RETRIES"),
        ((), {"FETCH_RETRY_DELAY": "soon"}, "FETCH_RETRY_DELAY"),
    ],
)
def test_wrong_usage(
    fetch: Fetcher, server: Server, arguments: tuple[str, ...], env: dict[str, str], word: str
) -> None:
    result = fetch(*arguments, **env)
    assert result.returncode == 2
    assert word in result.stderr
    assert "--help" in result.stderr
    assert server.requests == []
