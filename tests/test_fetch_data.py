"""`fetch_data.sh` as it is, against a server on 127.0.0.1 that misbehaves on demand."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

SCRIPT = Path(__file__).parents[1] / "fetch_data.sh"
BACKGROUND, EVALUATION = "images_background", "images_evaluation"
ARCHIVE = f"/{BACKGROUND}.zip"
PICKLES = [f"mini-imagenet-cache-{split}.pkl" for split in ("train", "validation", "test")]
PAGE = b"<!DOCTYPE html>\n<html><title>Please log in</title></html>\n"

pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, ("bash", "curl"))), reason="fetch_data.sh needs bash and curl"
)


def zipped(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def omniglot(folder: str) -> dict[str, bytes]:
    """A character of 20 drawings in the official archives' layout; noise does not compress."""
    members = {}
    for number in range(20):
        noise = random.Random(f"{folder} {number}").randbytes(105 * 14)
        stream = io.BytesIO()
        Image.frombytes("1", (105, 105), noise).save(stream, "PNG")
        members[f"{folder}/Of_{folder}/character01/01_{number:02}.png"] = stream.getvalue()
    return members


def cache_pickle(number: int) -> bytes:
    """Three images of each of two classes."""
    images = np.random.default_rng(number).integers(0, 256, (6, 84, 84, 3), dtype=np.uint8)
    classes = {f"n{number}": [0, 1, 2], f"m{number}": [3, 4, 5]}
    return pickle.dumps({"image_data": images, "class_dict": classes}, protocol=2)


FOLDERS = {folder: omniglot(folder) for folder in (BACKGROUND, EVALUATION)}
FILES = {  # path at the server -> content
    **{f"/{folder}.zip": zipped(members) for folder, members in FOLDERS.items()},
    **{f"/{name}": cache_pickle(number) for number, name in enumerate(PICKLES)},
}
OMNIGLOT = {f"omniglot/{k}": v for members in FOLDERS.values() for k, v in members.items()}
MINIIMAGENET = {f"miniimagenet/{name}": FILES[f"/{name}"] for name in PICKLES}


class Reply(NamedTuple):
    """An answer out of the ordinary."""

    status: int = 0  # 0: as usual
    content: bytes | None = None  # instead of the file
    cut_after: int | None = None  # bytes, then the connection is closed
    stalls: bool = False  # after `cut_after` bytes, until the server ends


class Server(ThreadingHTTPServer):
    """Serves `files` with Range requests; `replies` are used up before the usual ones."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.files = dict(FILES)
        self.replies: list[Reply] = []  # to requests for ARCHIVE
        self.requests: list[tuple[str, str | None, int]] = []  # path, Range, status
        self.ranges = True
        self.etag = ""
        self.stalled, self.resume = threading.Event(), threading.Event()

    def archive_requests(self) -> list[tuple[str | None, int]]:
        return [request[1:] for request in self.requests if request[0] == ARCHIVE]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        replies = self.server.replies if self.path == ARCHIVE else []
        reply = replies.pop(0) if replies else Reply()
        body = reply.content if reply.content is not None else self.server.files.get(self.path)
        span = self.headers["Range"]
        start = int(span.removeprefix("bytes=").rstrip("-")) if span and self.server.ranges else 0
        status = reply.status or (404 if body is None else 200)
        if start and status == 200 and reply.content is None:
            status = 206 if start < len(body) else 416
        self.server.requests.append((self.path, span, status))
        body = {200: body, 206: (body or b"")[start:]}.get(status, b"")
        self.send_response(status)
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{start + len(body) - 1}/*")
        self.send_header("ETag", self.server.etag)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            self.wfile.write(body[: reply.cut_after])
            if reply.stalls:
                self.wfile.flush()
                self.server.stalled.set()
                self.server.resume.wait(20)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.resume.set()
        server.shutdown()
        thread.join()


class Fetch(NamedTuple):
    """Runs a copy of the script where no `reptile` is installed and `sleep` takes no time."""

    script: Path
    data: Path
    env: dict[str, str]

    def start(self, *words: str, **env: str) -> subprocess.Popen[str]:
        """In a process group of its own, in a folder from which nothing can be imported."""
        return subprocess.Popen(
            [str(self.script), *words], cwd=self.script.parent, env=self.env | env, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip

    def __call__(self, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*words, **env)
        out, errors = process.communicate(timeout=60)
        return subprocess.CompletedProcess(words, process.returncode, out, errors)

    def arrived(self) -> dict[str, bytes]:
        """Everything below the data folder but unfinished files."""
        found = [path.relative_to(self.data) for path in self.data.rglob("*") if path.is_file()]
        return {str(p): (self.data / p).read_bytes() for p in found if ".fetch" not in p.parts}


@pytest.fixture
def fetch(server: Server, tmp_path: Path) -> Fetch:
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "python3").symlink_to(Path(sys.executable).resolve())
    (tools / "sleep").symlink_to(shutil.which("true"))
    path = [d for d in os.get_exec_path() if not (Path(d) / "reptile").exists()]
    env = {
        "PATH": os.pathsep.join([str(tools), *path]),
        "HOME": str(tmp_path),
        "REPTILE_CACHE": str(tmp_path / "cache"),
        "FETCH_DATA_DIR": "~/my data",
        "OMNIGLOT_URL": server.url,
        "MINIIMAGENET_URL": server.url,
        "no_proxy": "*",
    }
    return Fetch(Path(shutil.copy(SCRIPT, tools)), tmp_path / "my data", env)


def assert_failed(result: subprocess.CompletedProcess[str], *words: str) -> None:
    """Exit status 1 and one line of what is wrong, with these words."""
    assert result.returncode == 1, result
    (error,) = [line for line in result.stderr.splitlines() if "error: " in line]
    for word in words:
        assert word in error


def test_both_sets_arrive_whole_and_are_not_fetched_again(fetch: Fetch, server: Server) -> None:
    result = fetch()
    assert (result.returncode, result.stderr) == (0, "")  # no progress bar either
    assert fetch.arrived() == OMNIGLOT | MINIIMAGENET
    assert not list(fetch.data.rglob(".fetch"))
    assert "reptile data verify" in result.stdout  # it is not installed: how to do it later
    server.requests.clear()
    assert fetch().returncode == 0
    assert server.requests == []
    assert fetch.arrived() == OMNIGLOT | MINIIMAGENET


def test_failure_of_one_set_does_not_stop_the_other_and_a_set_alone(
    fetch: Fetch, server: Server
) -> None:
    del server.files[ARCHIVE]
    assert_failed(fetch(), ARCHIVE, "404")
    assert fetch.arrived() == MINIIMAGENET
    server.files[ARCHIVE] = FILES[ARCHIVE]
    server.requests.clear()
    assert fetch("omniglot").returncode == 0  # alone
    assert all(path.startswith("/images_") for path, *_ in server.requests)
    assert fetch.arrived() == OMNIGLOT | MINIIMAGENET


def test_file_urls_and_spaces(fetch: Fetch, tmp_path: Path) -> None:
    source = tmp_path / "a source"
    source.mkdir()
    for name, content in FILES.items():
        (source / name[1:]).write_bytes(content)
    url = f"file://{source}/"
    assert fetch(OMNIGLOT_URL=url, MINIIMAGENET_URL=url).returncode == 0
    assert fetch.arrived() == OMNIGLOT | MINIIMAGENET
    assert_failed(fetch("omniglot", FETCH_DATA_DIR="x", OMNIGLOT_URL=url + "no"), "no such file")


def test_miniimagenet_as_zips(fetch: Fetch, server: Server) -> None:
    zips = {f"{split}.zip": zipped({"n01/1.jpg": b"?"}) for split in ("train", "val", "test")}
    server.files = {f"/{name}": content for name, content in zips.items()}
    for _ in range(2):
        assert fetch("miniimagenet").returncode == 0
        assert fetch.arrived() == {f"miniimagenet/{k}": v for k, v in zips.items()}
    assert len(server.requests) == 4  # the first pickle, which is not there, and the three


@pytest.mark.parametrize("name", ["miniimagenet/store.json", "omniglot/Latin/character01/1.png"])
def test_other_layouts_are_left_alone(fetch: Fetch, server: Server, name: str) -> None:
    (fetch.data / name).parent.mkdir(parents=True)
    (fetch.data / name).write_text("mine")
    result = fetch(name.split("/")[0])
    assert (result.returncode, server.requests) == (0, [])
    assert f"holds {name.split('/')[1]}" in result.stdout
    assert fetch.arrived() == {name: b"mine"}


def test_cut_connections_and_failing_servers_are_continued(fetch: Fetch, server: Server) -> None:
    server.replies = [Reply(cut_after=9_000), Reply(503), Reply(429), Reply(cut_after=2_000)]
    result = fetch("omniglot")
    assert result.returncode == 0, result.stderr
    assert server.archive_requests() == [
        (None, 200), ("bytes=9000-", 503), ("bytes=9000-", 429), ("bytes=9000-", 206),
        ("bytes=11000-", 206),
    ]  # fmt: skip
    assert "trying again in 1 s" in result.stderr
    assert fetch.arrived() == OMNIGLOT


def test_server_that_ignores_ranges(fetch: Fetch, server: Server) -> None:
    server.ranges = False
    server.replies = [Reply(cut_after=9_000)]
    assert fetch("omniglot").returncode == 0
    assert [status for _, status in server.archive_requests()] == [200, 200, 200]
    assert fetch.arrived() == OMNIGLOT


def test_killed_and_run_again_continues(fetch: Fetch, server: Server) -> None:
    server.replies = [Reply(cut_after=9_000, stalls=True)]
    process = fetch.start("omniglot")
    assert server.stalled.wait(20)
    part = fetch.data / "omniglot" / ".fetch" / f"{BACKGROUND}.zip.part"
    while not (part.exists() and part.stat().st_size):
        assert process.poll() is None
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert fetch.arrived() == {}
    size = part.stat().st_size
    assert fetch("omniglot").returncode == 0
    assert server.archive_requests()[1:] == [(f"bytes={size}-", 206)]
    assert fetch.arrived() == OMNIGLOT


def test_killed_when_everything_was_fetched(fetch: Fetch, server: Server) -> None:
    """Nothing is sent a second time; what was half unpacked is unpacked again."""
    hidden = fetch.data / "omniglot" / ".fetch"
    (hidden / BACKGROUND).mkdir(parents=True)
    (hidden / "url").write_text(server.url)
    (hidden / f"{BACKGROUND}.zip.part").write_bytes(FILES[ARCHIVE])
    assert fetch("omniglot").returncode == 0
    assert [status for _, status in server.archive_requests()] == [416]
    assert fetch.arrived() == OMNIGLOT


def test_full_disk(fetch: Fetch, server: Server) -> None:
    """A limit of 8 kB a file stands in for it: writes fail alike."""
    text = fetch.script.read_text()
    fetch.script.write_text(text.replace("set -e", 'trap "" XFSZ; ulimit -f 8; set -e', 1))
    assert_failed(fetch("omniglot"), "cannot write", "disk full")
    fetch.script.write_text(text)
    assert fetch("omniglot").returncode == 0
    assert server.archive_requests()[1] == ("bytes=8192-", 206)


@pytest.mark.parametrize(
    ("content", "word"), [(PAGE, "<!DOCTYPE html>"), (b'{"error": 1}', '"error"'), (b"", "nothing")]
)
def test_something_else_instead_of_the_file(
    fetch: Fetch, server: Server, content: bytes, word: str
) -> None:
    server.replies = [Reply(content=content)]
    assert_failed(fetch("omniglot"), ARCHIVE, "web page", word)
    assert len(server.requests) == 1
    assert fetch("omniglot").returncode == 0  # the page is in nobody's way


def md5s(*paths: str) -> str:
    return " ".join(hashlib.md5(FILES[p], usedforsecurity=False).hexdigest() for p in paths)


def test_checksums(fetch: Fetch, server: Server) -> None:
    right = md5s(ARCHIVE, f"/{EVALUATION}.zip")
    wrong = md5s(ARCHIVE, ARCHIVE)
    assert_failed(fetch("omniglot", OMNIGLOT_MD5=wrong), EVALUATION, "wrong checksum", wrong[:32])
    assert fetch.arrived() == {}  # images_background alone would be a smaller Omniglot
    assert len(server.requests) == 2  # it came in one piece: no reason to fetch it again
    assert fetch("omniglot", OMNIGLOT_MD5=right).returncode == 0
    server.etag = f'"md5:{"0" * 32}"'  # as Zenodo announces them
    assert_failed(fetch("miniimagenet"), PICKLES[0], "wrong checksum", "0" * 32)
    given = md5s(*(f"/{name}" for name in PICKLES))
    assert fetch("miniimagenet", MINIIMAGENET_MD5=given).returncode == 0
    assert fetch.arrived() == OMNIGLOT | MINIIMAGENET


DAMAGED = FILES[ARCHIVE][:5_000] + b"!" * 9 + FILES[ARCHIVE][5_009:]


@pytest.mark.parametrize(
    "content", [DAMAGED, zipped({"strokes/1.txt": b"1"})], ids=["CRC", "other"]
)
def test_archives_that_cannot_be_unpacked(fetch: Fetch, server: Server, content: bytes) -> None:
    server.files[ARCHIVE] = content
    assert_failed(fetch("omniglot"), f"{BACKGROUND}.zip", "not unpacked")
    assert fetch.arrived() == {}
    server.files[ARCHIVE] = FILES[ARCHIVE]
    assert fetch("omniglot").returncode == 0
    assert fetch.arrived() == OMNIGLOT


def test_verdict_decides_the_exit_status(fetch: Fetch, server: Server) -> None:
    path = os.pathsep.join([str(Path(sys.executable).parent), *os.get_exec_path()])
    name = min(FOLDERS[EVALUATION])
    server.files[f"/{EVALUATION}.zip"] = zipped({**FOLDERS[EVALUATION], name: PAGE})
    result = fetch("omniglot", PATH=path)
    assert_failed(result, "omniglot is not complete")
    assert result.stdout.splitlines()[-1].startswith("broken: ")
    assert name in result.stdout
    shutil.rmtree(fetch.data)
    server.files = dict(FILES)
    result = fetch(PATH=path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("usable: ") == 2
    assert result.stdout.splitlines()[-1].startswith("usable: ")


def test_help(fetch: Fetch) -> None:
    result = fetch("--help")
    assert result.returncode == 0
    assert result.stdout.startswith("fetch_data.sh - fetch Omniglot and Mini-ImageNet")
    for word in ("MINIIMAGENET_MD5", "ILSVRC2012_img_train.tar", "Exit status"):
        assert word in result.stdout
    assert "set -e" not in result.stdout


@pytest.mark.parametrize(
    ("words", "env"),
    [
        (("cifar",), {}),
        ((), {"OMNIGLOT_URL": "/data/omniglot"}),
        ((), {"MINIIMAGENET_URL": "ftp://host/data"}),
        ((), {"OMNIGLOT_MD5": "0" * 32}),
        ((), {"MINIIMAGENET_MD5": "nonsense"}),
    ],
)
def test_wrong_usage(
    fetch: Fetch, server: Server, words: tuple[str, ...], env: dict[str, str]
) -> None:
    result = fetch(*words, **env)
    assert result.returncode == 2
    for word in (*words, *env, "--help"):
        assert word in result.stderr
    assert server.requests == []
