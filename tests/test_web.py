"""The browser demo: its unit tests in Node, and the page in a real browser, beside Python."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from command_line import ROOT, call, flags, real_omniglot, script

from supervised_reptile.analysis.statistics import accuracy
from supervised_reptile.inference.demo_server import HOST, make_server, read_site
from supervised_reptile.inference.export import web_files, write_export
from supervised_reptile.runs.open_weights import open_snapshot
from supervised_reptile.runs.snapshot import Snapshot
from supervised_reptile.system.package_files import pretrained_weights

WEB = ROOT / "web"
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
PATIENCE = 900  # seconds for the slowest of these commands on a busy machine
EPISODES, STEPS = 20, 10  # that the page solves; benchmarks/browser.py takes more of both

# Trained for long enough that its answers are no accidents.
BRIEF = flags(
    classes=5, shots=1, train_shots=10, inner_batch=10, inner_iters=5, meta_batch=5,
    meta_step=1, meta_step_final=0, meta_iters=150, eval_samples=5, eval_interval=30,
)  # fmt: skip


def npm(*arguments: str, **environment: str) -> str:
    """The output of a command in web/, which must succeed."""
    if shutil.which("npm") is None:
        pytest.skip("node and npm are not installed")
    done = subprocess.run(
        ["npm", *arguments],
        cwd=WEB,
        env={**os.environ, "NO_COLOR": "1", **environment},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def packages() -> None:
    """What package-lock.json names is installed."""
    installed = WEB / "node_modules" / ".package-lock.json"
    lock = WEB / "package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        npm("ci")


@pytest.fixture(scope="module")
def built(packages: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built page; `web/dist/` is left alone."""
    folder = tmp_path_factory.mktemp("page")
    npm("run", "build", "--", "--outDir", str(folder), "--emptyOutDir")
    return folder


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    """What the page starts from; it is told to take few inner steps, so that it opens sooner."""
    found = trained_weights(tmp_path_factory)
    return dataclasses.replace(found, config=dataclasses.replace(found.config, eval_steps=STEPS))


def trained_weights(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    """The weights that come along or, where there are none, some that are trained for a moment."""
    if pretrained_weights().exists():
        return open_snapshot(None)
    from command_line import drawn_alphabets

    run, data = tmp_path_factory.mktemp("run") / "brief", drawn_alphabets(tmp_path_factory)
    outcome = call(*BRIEF, *flags(data_dir=data, checkpoint=run))
    assert outcome.code == 0, outcome.err
    return open_snapshot(run)


@pytest.fixture(scope="module")
def chromium() -> str:
    """Where the browser is."""
    for name in (os.environ.get("CHROMIUM"), *CHROMIUM):
        if name and (found := shutil.which(name)):
            return found
    pytest.skip(f"no browser is installed (looked for {', '.join(CHROMIUM)} and $CHROMIUM)")


@contextlib.contextmanager
def serving(server: ThreadingHTTPServer) -> Iterator[str]:
    """The address of a server while it serves."""
    with server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://{HOST}:{server.server_address[1]}/"
        server.shutdown()


@pytest.fixture(scope="module")
def page(built: Path, snapshot: Snapshot, chromium: str) -> Iterator[str]:
    """The address of the page as `reptile demo` serves it, computing as without a GPU."""
    model = {f"model/{name}": content for name, content in web_files(snapshot).items()}
    with serving(make_server(read_site(built, model), 0)) as address:
        yield f"{address}?backend=wasm"


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Any web host: sends files, and no headers of ours."""

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def static_page(built: Path, snapshot: Snapshot, tmp_path: Path) -> Iterator[str]:
    """The address of the built page with exported weights, in a folder of some web host."""
    place = shutil.copytree(built, tmp_path / "host" / "some" / "place")
    write_export(place / "model", snapshot, "web")
    handler = functools.partial(Quiet, directory=str(tmp_path / "host"))
    with serving(ThreadingHTTPServer((HOST, 0), handler)) as address:
        yield f"{address}some/place/"


def test_the_fixture_is_what_python_computes() -> None:
    """What the unit tests compare with follows the Python code."""
    computed = json.loads(json.dumps(script(WEB / "scripts" / "fixture.py").fixture()))
    stored = json.loads((WEB / "tests" / "fixtures" / "python.json").read_text(encoding="utf8"))
    assert set(stored) == set(computed)
    for name, run in computed.pop("runs").items():
        other = stored["runs"][name]
        for part in ("losses", "weights", "secondMoment", "scores"):
            np.testing.assert_allclose(other[part], run[part], atol=1e-6)
        assert {k: other[k] for k in ("rule", "classes", "labels")} == {
            k: run[k] for k in ("rule", "classes", "labels")
        }
    assert {name: stored[name] for name in computed} == computed


def test_the_samples_are_what_their_script_draws() -> None:
    samples = script(WEB / "scripts" / "samples.py").sets()
    stored = json.loads((WEB / "src" / "samples.json").read_text(encoding="utf8"))
    assert stored == samples


def test_types_and_form(packages: None) -> None:
    npm("run", "lint")


def test_units(packages: None) -> None:
    assert "passed" in npm("test")


def test_the_page_is_part_of_an_installed_package(tmp_path: Path) -> None:
    """A copy of the sources with a built page, as a wheel would hold it."""
    copy = tmp_path / "source"
    ignored = shutil.ignore_patterns(".*", "node_modules", "dist", "runs", "data", "tests")
    for name in ("setup.py", "pyproject.toml", "README.md"):
        (copy / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, copy / name)
    for name in ("supervised_reptile", "metadata"):
        shutil.copytree(ROOT / name, copy / name, ignore=ignored)
    shutil.copytree(ROOT / "supervised_reptile" / "data", copy / "supervised_reptile" / "data")
    (copy / "web" / "dist" / "assets").mkdir(parents=True)
    (copy / "web" / "dist" / "index.html").write_text("page")
    (copy / "web" / "dist" / "assets" / "main.js").write_text("1")
    command = [sys.executable, "setup.py", "--quiet", "build", "--build-lib", str(tmp_path / "lib")]
    pytest.importorskip("setuptools")
    subprocess.run(command, cwd=copy, check=True, capture_output=True)
    package = tmp_path / "lib" / "supervised_reptile"
    assert (package / "web" / "index.html").read_text() == "page"
    assert (package / "web" / "assets" / "main.js").exists()
    assert (package / "analysis" / "report" / "page.html.jinja").exists()
    assert (package / "analysis" / "report" / "style.css").exists()
    program = "from supervised_reptile.system.package_files import *; print(web_folder())"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path / "lib", capture_output=True, text=True
    )
    assert Path(done.stdout.strip()) == package / "web"


def test_the_page_as_people_use_it(page: str, static_page: str, built: Path, chromium: str) -> None:
    npm(
        "run", "test:browser", "--", "tests/browser/page.test.ts",
        REPTILE_PAGE=page, REPTILE_STATIC_PAGE=static_page, REPTILE_BUILT=str(built),
        CHROMIUM=chromium,
    )  # fmt: skip


def browser_cases() -> ModuleType:
    return script(ROOT / "benchmarks" / "browser_cases.py")


def assert_solved_as_in_python(
    page: str, chromium: str, cases: list[dict], folder: Path, flips: int = 0
) -> None:
    """Check the page's logits, and that its accuracy is Python's.

    flips: episodes in which float32 rounding may have moved an activation across a ReLU's edge.
    """
    given, report = folder / "cases.json", folder / "report.json"
    given.write_text(json.dumps(cases), encoding="utf8")
    npm(
        "run", "test:browser", "--", "tests/browser/numbers.test.ts",
        REPTILE_PAGE=page, REPTILE_CASES=str(given), REPTILE_REPORT=str(report), CHROMIUM=chromium,
        REPTILE_FLIPS=str(flips),
    )  # fmt: skip
    right = np.array([case["right"] for case in cases])
    python, browser = (
        accuracy((np.array(scores).argmax(axis=2) == right).sum(axis=1), right.shape[1])
        for scores in (
            [case["scores"] for case in cases],
            json.loads(report.read_text(encoding="utf8"))["scores"],
        )
    )
    assert browser.mean == pytest.approx(python.mean, abs=python.half_width)
    assert browser.mean > 0.3  # chance is a fifth


def test_the_page_computes_as_python_does(
    page: str, chromium: str, snapshot: Snapshot, data: Path, tmp_path: Path
) -> None:
    # Characters unlike Omniglot's, on which a ReLU is more likely to meet an input near 0. In the
    # median an episode differs by 7e-6, with five examples of a class by 3e-5.
    cases = browser_cases().make_cases(snapshot, data, EPISODES, 1, STEPS)
    assert_solved_as_in_python(page, chromium, cases, tmp_path, flips=1)


def test_several_examples_of_a_class(
    page: str, chromium: str, snapshot: Snapshot, data: Path, tmp_path: Path
) -> None:
    cases = browser_cases().make_cases(snapshot, data, 4, 5, STEPS)
    assert_solved_as_in_python(page, chromium, cases, tmp_path)


def test_real_omniglot_on_the_page(
    page: str, chromium: str, snapshot: Snapshot, tmp_path: Path
) -> None:
    cases = browser_cases().make_cases(snapshot, real_omniglot(), EPISODES, 1, STEPS)
    assert_solved_as_in_python(page, chromium, cases, tmp_path)
