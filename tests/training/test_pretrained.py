"""Shipped weights: evaluated by name, as accurate as their card states."""

from __future__ import annotations

import hashlib
import json
import math
import re
from pathlib import Path

import pytest
from command_line import (
    ROOT,
    Outcome,
    assert_refused,
    call,
    edit_json,
    flags,
    real_omniglot,
    script,
    tree,
)

from supervised_reptile.runs import open_weights
from supervised_reptile.runs.open_weights import open_snapshot
from supervised_reptile.runs.read_run import read_evaluations
from supervised_reptile.runs.snapshot import fingerprint, read_npz, write_npz
from supervised_reptile.system.package_files import PRETRAINED, pretrained_weights

SHIP = ROOT / "tools" / "ship_weights.py"
ACCURACY = re.compile(r"Test accuracy(?:, ([a-z-]+))?: ([01]\.\d+)")


@pytest.fixture
def shipped(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The finished run's weights in place of the shipped ones; a folder of its own to work in."""
    path = tmp_path / "omniglot-5way.npz"
    write_npz(path, open_snapshot(finished))
    monkeypatch.setattr(open_weights, "pretrained_weights", lambda name: tmp_path / f"{name}.npz")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return path


def ship(run: Path, out: Path) -> Outcome:
    return call(run, "--out", out, command=script(SHIP).main)


def test_a_name_evaluates_without_a_run(shipped: Path, finished: Path, data: Path) -> None:
    words = flags(shots=1, eval_samples=10, both_modes=True, data_dir=data)
    of_run = call("--checkpoint", finished, "--pretrained", *words)
    assert of_run.code == 0, of_run.err
    assert len(of_run.accuracies) == 4
    for name in ("omniglot-5way", shipped):
        named = call("--pretrained", name, *words)
        assert named.code == 0, named.err
        assert named.accuracies == of_run.accuracies
        assert "Training..." not in named.out
        assert "not the images" not in named.err
    assert list(Path.cwd().iterdir()) == []


def test_what_a_name_cannot_go_with(shipped: Path, finished: Path, data: Path) -> None:
    def refused(*words: str, code: int = 1, **values: object) -> None:
        given = flags(**{"pretrained": "omniglot-5way", "data_dir": data, **values})
        assert_refused(call(*given), *words, code=code)

    refused("--checkpoint", "--pretrained omniglot-5way", code=2, checkpoint=finished)
    refused("exclude", code=2, overwrite=True)
    refused("--classes is 3 there and 5 here", classes=5)
    refused("20way", "no such run", pretrained="20way")
    shipped.write_bytes(b"damaged")
    refused("not readable weights")
    shipped.unlink()
    refused("missing from this installation")


def test_other_data_are_noted(shipped: Path, data: Path, tmp_path: Path) -> None:
    snapshot = read_npz(shipped)
    write_npz(shipped, type(snapshot)(**{**vars(snapshot), "data": "0" * 64}))
    outcome = call("--pretrained", "omniglot-5way", *flags(data_dir=data, eval_samples=2))
    assert outcome.code == 0
    assert "not the images that omniglot-5way was trained on" in outcome.err


def test_a_run_becomes_weights_with_a_card(finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    before = tree(finished)
    outcome = ship(finished, out)
    assert outcome.code == 0, outcome.err
    assert tree(finished) == before
    card = json.loads((out / "omniglot-5way.json").read_text())
    weights = out / "omniglot-5way.npz"
    assert fingerprint(read_npz(weights)) == fingerprint(open_snapshot(finished))
    assert card["sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    (evaluation,) = read_evaluations(finished)
    (entry,) = card["test_accuracy"]
    assert entry["accuracy"] == evaluation["accuracy"]["transductive"]["test"]
    assert (entry["shots"], entry["mode"]) == (5, "transductive")
    assert "--inner-iters 2" in card["command"]
    assert card["outer_steps"] == 400
    assert str(tmp_path) not in (out / "omniglot-5way.json").read_text()


def test_only_finished_and_measured_runs_are_shipped(finished: Path, tmp_path: Path) -> None:
    results = finished / "results.json"
    whole = results.read_bytes()
    results.unlink()
    assert_refused(ship(finished, tmp_path / "out"), "no evaluation")
    results.write_bytes(whole)
    edit_json(results, lambda content: content["evaluations"][0].update(outer_steps=300))
    assert_refused(ship(finished, tmp_path / "out"), "no evaluation")
    config = finished / "config.json"
    edit_json(config, lambda content: content["config"].update(outer_steps=500))
    assert_refused(ship(finished, tmp_path / "out"), "outer step 400 of 500")
    assert not (tmp_path / "out").exists()


# --- the real ones


def card_of(name: str) -> dict:
    """The card of shipped weights; skips the test where they are missing."""
    path = pretrained_weights(name)
    if not path.exists():
        pytest.skip(f"{path.name} is not in this copy: tools/ship_weights.py makes it")
    return json.loads(path.with_suffix(".json").read_text(encoding="utf8"))


@pytest.mark.parametrize("name", PRETRAINED)
def test_the_card_is_of_these_weights(name: str) -> None:
    card, path = card_of(name), pretrained_weights(name)
    assert card["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    snapshot = open_snapshot(name)
    assert snapshot.outer_steps == card["outer_steps"] == snapshot.config.outer_steps
    assert snapshot.drawings
    cells = {(entry["shots"], entry["mode"]) for entry in card["test_accuracy"]}
    assert cells == {(s, m) for s in (1, 5) for m in ("transductive", "non_transductive")}


@pytest.mark.parametrize("name", PRETRAINED)
@pytest.mark.parametrize(("shots", "episodes"), [(1, 200), (5, 100)])
def test_the_weights_are_as_accurate_as_the_card_says(name: str, shots: int, episodes: int) -> None:
    card = card_of(name)
    outcome = call(
        "--pretrained", name, "--transductive", "--both-modes",
        *flags(shots=shots, eval_samples=episodes, eval_splits="test", data_dir=real_omniglot()),
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    assert "not the images" not in outcome.err
    found = {
        (mode or "transductive").replace("-", "_"): float(mean)
        for mode, mean in ACCURACY.findall(outcome.out)
    }
    entries = {e["mode"]: e["accuracy"] for e in card["test_accuracy"] if e["shots"] == shots}
    assert set(found) == set(entries)
    for mode, mean in found.items():
        known = entries[mode]
        # What so few episodes can tell: their own interval is empty where all answers are right.
        half_width = known["half_width"] * math.sqrt(1 + known["episodes"] / episodes)
        assert abs(mean - known["mean"]) < 1.5 * half_width, (mode, mean, known)
