"""Exports hold the run's very weights, say what they are, and are noticed when damaged."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import small_problem as small
from command_line import assert_refused, call, edit_json, saved_state, tree
from small_problem import RATE, small_snapshot

from supervised_reptile.cli.export import FORMS
from supervised_reptile.cli.main import reptile
from supervised_reptile.errors import UserError
from supervised_reptile.inference import export
from supervised_reptile.inference.export import FORMATS, web_files, write_export
from supervised_reptile.runs import open_weights
from supervised_reptile.runs.open_weights import MANIFEST, open_snapshot, verify_export
from supervised_reptile.runs.snapshot import Snapshot, flat, read_npz, write_npz
from supervised_reptile.system import package_files


def assert_same(one: Snapshot, other: Snapshot) -> None:
    """Check that two snapshots say the same, to the last bit."""
    assert one.metadata() == other.metadata()
    for name in ("weights", "second_moment"):
        np.testing.assert_array_equal(flat(getattr(one, name)), flat(getattr(other, name)))


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """An npz export of the small snapshot."""
    write_export(tmp_path / "npz", small_snapshot(), "npz")
    return tmp_path / "npz"


def test_the_command_offers_all_formats() -> None:
    assert set(FORMS) == set(FORMATS)


def test_a_run_is_exported_with_adams_state(finished: Path, tmp_path: Path) -> None:
    before, state = tree(finished), saved_state(finished)
    outcome = call(
        "export", "--checkpoint", finished, "--format", "npz", "--out", tmp_path / "out",
        command=reptile,
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    assert "400 outer steps" in outcome.out
    snapshot = read_npz(tmp_path / "out" / "weights.npz")
    np.testing.assert_array_equal(flat(snapshot.weights), state["weights"])
    np.testing.assert_array_equal(flat(snapshot.second_moment), state["second_moment"])
    assert (snapshot.time, snapshot.outer_steps) == (state["time"], 400)
    assert snapshot.config.way == 3
    assert snapshot.drawings
    assert verify_export(tmp_path / "out")["outer_steps"] == 400
    assert tree(finished) == before
    for source in (tmp_path / "out", tmp_path / "out" / "weights.npz"):
        assert_same(open_snapshot(source), snapshot)


def test_nothing_of_the_machine_is_exported(finished: Path, tmp_path: Path) -> None:
    snapshot = open_snapshot(finished)
    for form in ("npz", "web"):
        write_export(tmp_path / form, snapshot, form)
        for content in tree(tmp_path / form).values():
            assert str(tmp_path).encode() not in content
            assert b"checkpoint" not in content
            assert b"data_dir" not in content


def test_a_checkpoint_that_cannot_be_read_is_passed_over(
    finished: Path, capsys: pytest.CaptureFixture
) -> None:
    state = saved_state(finished)
    newest = finished / "checkpoints" / "ckpt-900.index"
    newest.write_bytes(b"damaged")
    snapshot = open_snapshot(finished)
    assert "ckpt-900 cannot be read" in capsys.readouterr().err
    np.testing.assert_array_equal(flat(snapshot.weights), state["weights"])
    shutil.copy(newest.with_name("ckpt-400.index"), newest)
    newest.with_suffix(".data-00000-of-00001").write_bytes(b"")
    snapshot = open_snapshot(finished)
    assert "ckpt-900 cannot be read" in capsys.readouterr().err
    np.testing.assert_array_equal(flat(snapshot.weights), state["weights"])
    for other in (finished / "checkpoints").glob("*.index"):
        other.write_bytes(b"damaged")
    with pytest.raises(UserError, match="none of its checkpoints can be read"):
        open_snapshot(finished)
    for other in (finished / "checkpoints").glob("*.index"):
        other.unlink()
    with pytest.raises(UserError, match="no checkpoint yet"):
        open_snapshot(finished)


def test_weights_of_another_size_are_refused(finished: Path) -> None:
    edit_json(finished / "config.json", lambda content: content["net"].update(filters=32))
    with pytest.raises(UserError, match="none of its checkpoints can be read"):
        open_snapshot(finished)


def test_the_npz_is_arrays_and_json(exported: Path) -> None:
    snapshot = small_snapshot()
    with np.load(exported / "weights.npz", allow_pickle=False) as arrays:
        metadata = json.loads(str(arrays["metadata"]))
        for name, shape in small.NET.shapes:
            for kind in ("weights", "second_moment"):
                assert arrays[f"{kind}/{name}"].shape == shape
                assert arrays[f"{kind}/{name}"].dtype == np.float32
        assert arrays["time"] == 7
    assert metadata["net"] == snapshot.net
    assert metadata["config"]["inner_rate"] == RATE
    assert_same(read_npz(exported / "weights.npz"), snapshot)


def test_every_damage_to_an_npz_is_noticed(exported: Path) -> None:
    path = exported / "weights.npz"
    whole = path.read_bytes()
    for place in np.random.default_rng(0).integers(0, len(whole), 40).tolist():
        damaged = bytearray(whole)
        damaged[place] ^= 0x10
        path.write_bytes(damaged)
        with contextlib.suppress(UserError):  # unless nothing depends on this bit of the archive
            assert_same(read_npz(path), small_snapshot())
        with pytest.raises(UserError, match="not as it was written"):
            verify_export(exported)
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="not readable weights"):
        read_npz(path)
    path.unlink()
    with pytest.raises(UserError, match="no such file"):
        read_npz(path)


def test_numbers_put_into_an_npz_by_hand_are_noticed(exported: Path) -> None:
    path = exported / "weights.npz"
    with np.load(path) as arrays:
        content = dict(arrays)
    content["weights/dense/bias"] = content["weights/dense/bias"] + 1
    np.savez(path, **content)
    with pytest.raises(UserError, match="checksum"):
        read_npz(path)


def test_an_npz_of_a_program_with_fewer_flags_can_be_read(exported: Path) -> None:
    """What it did not know of has its default; its checksum is of what it wrote."""
    path = exported / "weights.npz"
    with np.load(path) as arrays:
        content = dict(arrays)
    metadata = json.loads(str(content["metadata"]))
    del metadata["config"]["log_alignment"], metadata["drawings"], metadata["sha256"]
    written = {name: value for name, value in metadata.items() if name != "format"}
    digest = hashlib.sha256(json.dumps(written, sort_keys=True).encode())
    for kind in ("weights/", "second_moment/"):
        for name in content:
            if name.startswith(kind):
                digest.update(content[name].tobytes())
    metadata["sha256"] = digest.hexdigest()
    np.savez(path, **{**content, "metadata": np.array(json.dumps(metadata))})
    assert_same(read_npz(path), small_snapshot())


def test_objects_in_an_npz_are_refused(exported: Path) -> None:
    path = exported / "weights.npz"
    with np.load(path) as arrays:
        content = dict(arrays)
    content["weights/dense/bias"] = np.array([{}], object)
    np.savez(path, **content)
    with pytest.raises(UserError, match=r"not readable weights .*does not hold numbers"):
        read_npz(path)


def test_an_export_that_lost_its_weights_is_no_run(exported: Path) -> None:
    (exported / "weights.npz").unlink()
    with pytest.raises(UserError, match="not a readable export"):
        open_snapshot(exported)


def test_the_browser_gets_weights_then_second_moments(tmp_path: Path) -> None:
    snapshot = small_snapshot()
    write_export(tmp_path / "web", snapshot, "web")
    numbers = np.frombuffer((tmp_path / "web" / "weights.bin").read_bytes(), "<f4")
    np.testing.assert_array_equal(numbers[: small.NET.size], flat(snapshot.weights))
    np.testing.assert_array_equal(numbers[small.NET.size :], flat(snapshot.second_moment))
    written = {name: (tmp_path / "web" / name).read_bytes() for name in web_files(snapshot)}
    served = web_files(snapshot)
    assert written["weights.bin"] == served["weights.bin"]
    assert json.loads(written[MANIFEST]) == json.loads(served[MANIFEST])


def test_a_folder_is_replaced_only_when_asked(exported: Path, tmp_path: Path) -> None:
    before = tree(exported)
    with pytest.raises(UserError, match="--overwrite"):
        write_export(exported, small_snapshot(), "web")
    assert tree(exported) == before
    write_export(exported, small_snapshot(), "web", overwrite=True)
    assert set(tree(exported)) == {MANIFEST, "weights.bin"}
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("")
    with pytest.raises(UserError, match="holds other files"):
        write_export(tmp_path / "other", small_snapshot(), "web", overwrite=True)


@pytest.mark.parametrize("name", ["thesis.tex", "variables/thesis.tex"])
def test_what_lies_beside_an_export_is_not_deleted(exported: Path, name: str) -> None:
    (exported / name).parent.mkdir(exist_ok=True)
    (exported / name).write_text("")
    with pytest.raises(UserError, match=rf"holds more than an export \({name}\)"):
        write_export(exported, small_snapshot(), "npz", overwrite=True)
    assert set(tree(exported)) == {MANIFEST, "weights.npz", name}


@pytest.mark.parametrize("content", ["{}", "[", '{"format": "another", "files": {}}'])
def test_a_folder_whose_description_is_not_an_exports_is_not_replaced(
    exported: Path, content: str
) -> None:
    (exported / MANIFEST).write_text(content)
    with pytest.raises(UserError, match=r"not a readable export .* name another folder"):
        write_export(exported, small_snapshot(), "npz", overwrite=True)
    assert set(tree(exported)) == {MANIFEST, "weights.npz"}


def test_an_export_that_fails_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(folder: Path, snapshot: Snapshot) -> None:
        (folder / "half").write_text("")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export, "FORMATS", {"npz": fail})
    with pytest.raises(UserError, match="No space left on device"):
        write_export(tmp_path / "out", small_snapshot(), "npz")
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_export_is_said_to_be_none(exported: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a readable export"):
        verify_export(tmp_path)
    (exported / MANIFEST).write_text("[]")
    with pytest.raises(UserError, match="not a readable export"):
        verify_export(exported)


def test_refusals_of_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*words: str, code: int = 1, **flags: object) -> None:
        given = [word for name, value in flags.items() for word in (f"--{name}", value)]
        assert_refused(call("export", *given, command=reptile), *words, code=code)

    out = tmp_path / "out"
    refused("--format", code=2, format="pdf", out=out)
    refused("config.json is missing", checkpoint=tmp_path, format="web", out=out)
    refused("no such run directory", "omniglot-5way", checkpoint="nowhere", format="web", out=out)
    monkeypatch.setattr(open_weights, "pretrained_weights", lambda _: tmp_path / "none.npz")
    refused("--checkpoint RUN", format="web", out=out)
    refused("--checkpoint RUN", checkpoint="omniglot-5way", format="web", out=out)
    assert not out.exists()


def test_weights_that_come_along_need_no_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_npz(tmp_path / "omniglot-5way.npz", small_snapshot())
    monkeypatch.setattr(open_weights, "pretrained_weights", lambda name: tmp_path / f"{name}.npz")
    for place in (None, "omniglot-5way"):
        assert_same(open_snapshot(place), small_snapshot())
    assert package_files.pretrained_weights().name == "omniglot-5way.npz"


@pytest.mark.parametrize("place", ["./omniglot-5way", Path("omniglot-5way")])
def test_a_folder_that_is_called_like_them_is_meant_by_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: Path | str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="no such run directory"):
        open_snapshot(place)
    write_export(tmp_path / "omniglot-5way", small_snapshot(), "npz")
    assert_same(open_snapshot(place), small_snapshot())


def test_reading_npz_takes_no_tensorflow(exported: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from supervised_reptile.runs.open_weights import *;"
        f"open_snapshot(Path({str(exported)!r})); assert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
