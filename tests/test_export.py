"""Exports hold the run's very weights, say what they are, and are noticed when damaged."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import small_problem as small
import tensorflow as tf
from command_line import assert_refused, call, saved_state, tree

from supervised_reptile import export, resources, run_snapshot
from supervised_reptile.cli import reptile
from supervised_reptile.cli_export import FORMS
from supervised_reptile.config import Config
from supervised_reptile.errors import UserError
from supervised_reptile.evaluate import NON_TRANSDUCTIVE, Episodes, query_scores
from supervised_reptile.export import (
    FORMATS,
    MANIFEST,
    open_snapshot,
    verify_export,
    web_files,
    write_export,
)
from supervised_reptile.export_savedmodel import load_savedmodel
from supervised_reptile.inner import Examples, InnerRule, adapt, inner_step
from supervised_reptile.layers import image_patches, in_graph_patches
from supervised_reptile.models import ConvNet
from supervised_reptile.snapshot import Snapshot, flat, read_npz, write_npz

RATE = 0.01


def small_snapshot(net: ConvNet = small.NET) -> Snapshot:
    """The small problem in the middle of training."""
    weights = small.some_weights(net).astype(np.float32)
    moments = np.random.default_rng(1).uniform(0.1, 2, net.size).astype(np.float32)
    return Snapshot(
        net=json.loads(json.dumps(net._asdict())),
        config=Config(way=net.way, inner_rate=RATE, checkpoint="here", data_dir="there"),
        weights=run_snapshot.named_parts(net, weights),
        second_moment=run_snapshot.named_parts(net, moments),
        time=7,
        outer_steps=3,
        data="0" * 64,
    )


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
    for other in (finished / "checkpoints").glob("*.index"):
        other.write_bytes(b"damaged")
    with pytest.raises(UserError, match="none of its checkpoints can be read"):
        open_snapshot(finished)
    for other in (finished / "checkpoints").glob("*.index"):
        other.unlink()
    with pytest.raises(UserError, match="no checkpoint yet"):
        open_snapshot(finished)


def test_weights_of_another_size_are_refused(finished: Path) -> None:
    content = json.loads((finished / "config.json").read_text())
    content["net"]["filters"] = 32
    (finished / "config.json").write_text(json.dumps(content))
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
    monkeypatch.setattr(export, "pretrained_weights", lambda: tmp_path / "none.npz")
    refused("--checkpoint RUN", format="web", out=out)
    assert not out.exists()


def test_weights_that_come_along_need_no_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_npz(tmp_path / "ours.npz", small_snapshot())
    monkeypatch.setattr(export, "pretrained_weights", lambda: tmp_path / "ours.npz")
    assert_same(open_snapshot(None), small_snapshot())
    assert resources.pretrained_weights().name == "omniglot-5way.npz"


def test_reading_npz_takes_no_tensorflow(exported: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from supervised_reptile.export import *;"
        f"open_snapshot(Path({str(exported)!r})); assert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


# --- SavedModel


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small snapshot as a SavedModel."""
    folder = tmp_path_factory.mktemp("saved") / "model"
    write_export(folder, small_snapshot(), "savedmodel")
    return folder


def pictures(count: int) -> np.ndarray:
    """Float32 [count, 8, 8, 1] from 0 to 1."""
    return small.small_images()[:count].astype(np.float32) / small.MAX_VALUE


def start_values(model: tf.Module) -> dict[str, tf.Tensor]:
    return model.signatures["start"]()


def test_patches_in_a_graph_are_the_same() -> None:
    for height, width, channels in ((28, 28, 1), (7, 10, 2)):
        images = np.random.default_rng(0).random((3, height, width, channels), np.float32)
        for stride in (1, 2):
            np.testing.assert_array_equal(
                in_graph_patches(tf.constant(images), stride), image_patches(images, stride)
            )


def test_a_saved_model_starts_where_the_run_is(saved: Path) -> None:
    snapshot, start = small_snapshot(), start_values(load_savedmodel(saved))
    np.testing.assert_array_equal(start["weights"], flat(snapshot.weights))
    np.testing.assert_array_equal(start["second_moment"], flat(snapshot.second_moment))
    assert start["time"] == 7


@pytest.mark.parametrize("count", [2, 9])
def test_it_predicts_as_the_network_does(saved: Path, count: int) -> None:
    images = pictures(count)
    weights = flat(small_snapshot().weights)
    served = load_savedmodel(saved).signatures["predict"](
        weights=tf.constant(weights), images=tf.constant(images)
    )["logits"]
    problem = small.classifier(InnerRule(RATE), one=1)
    inputs = tf.constant(image_patches(images, 2), tf.float64)
    wanted = problem.predict((tf.constant(weights, tf.float64),), (inputs,))
    np.testing.assert_allclose(served, wanted, atol=1e-4)


BATCHES = np.array([[0, 1, 2, 3], [4, 5, 0, 1], [2, 3, 5, 4]], np.int32)
LABELS = np.array([0, 1, 2, 0, 1, 2], np.int32)


def test_it_adapts_as_the_inner_loop_does(saved: Path) -> None:
    model, images = load_savedmodel(saved), pictures(6)
    served = model.signatures["adapt"](
        **start_values(model), images=images, labels=LABELS, batches=BATCHES
    )
    problem, state = small.classifier(InnerRule(RATE), one=1), small.some_state()
    state = state._replace(weights=(tf.constant(flat(small_snapshot().weights), tf.float64),))
    patches = tf.constant(image_patches(images, 2), tf.float64)
    for batch in BATCHES:
        state = inner_step(problem, state, (tf.gather(patches, batch),), LABELS[batch])
    weights, moments, time = small.flat(state)
    np.testing.assert_allclose(served["weights"], weights, atol=1e-5)
    np.testing.assert_allclose(served["second_moment"], moments, rtol=1e-3, atol=1e-5)
    assert served["time"] == time == 10


def test_it_names_queries_beside_the_examples(saved: Path) -> None:
    images, queries = pictures(6), pictures(20)[15:]
    served = load_savedmodel(saved).signatures["serving_default"](
        images=images, labels=LABELS, batches=BATCHES, queries=queries
    )["probabilities"]
    assert served.shape == (5, 3)
    problem, state = small.classifier(InnerRule(RATE), one=1), small.some_state()
    state = state._replace(weights=(tf.constant(flat(small_snapshot().weights), tf.float64),))
    table = (tf.constant(image_patches(np.concatenate([images, queries]), 2)),)
    adapted = adapt(problem, state, table, Examples(BATCHES, LABELS[BATCHES]))
    episode = Episodes(None, tf.range(6), Examples(tf.range(6, 11)[None], None))
    (scores,) = query_scores(problem, adapted.weights, table, episode, (NON_TRANSDUCTIVE,))
    np.testing.assert_allclose(served, tf.nn.softmax(scores[0]), atol=1e-4)


def test_fewer_classes_use_the_first_outputs(saved: Path) -> None:
    model, labels = load_savedmodel(saved), LABELS % 2
    given = {"images": pictures(6), "labels": labels, "batches": BATCHES}
    served = model.signatures["serving_default"](**given, queries=pictures(8))["probabilities"]
    assert served.shape == (8, 2)
    np.testing.assert_allclose(np.sum(served, axis=1), 1, atol=1e-5)
    after = model.signatures["adapt"](**start_values(model), **given)["weights"]
    before, names = flat(small_snapshot().weights), [name for name, _ in small.NET.shapes]
    assert names[-1] == "dense/bias"
    assert after[-1] == before[-1]  # of the output that has no class
    assert after[-2] != before[-2]


def test_the_pooling_network_as_well(tmp_path: Path) -> None:
    net = ConvNet((9, 8, 3), way=4, filters=4, pooling=True, blocks=2)
    snapshot = small_snapshot(net)
    write_export(tmp_path / "model", snapshot, "savedmodel")
    model = load_savedmodel(tmp_path / "model")
    images = np.random.default_rng(0).random((6, 9, 8, 3)).astype(np.float32)
    weights = flat(snapshot.weights)
    served = model.signatures["predict"](weights=tf.constant(weights), images=tf.constant(images))[
        "logits"
    ]
    problem = small.classifier(InnerRule(RATE), net, one=1)
    inputs = tf.constant(images, tf.float64)
    wanted = problem.predict((tf.constant(weights, tf.float64),), (inputs,))
    np.testing.assert_allclose(served, wanted, atol=1e-4)
    named = model.signatures["serving_default"](
        images=images, labels=LABELS, batches=BATCHES, queries=images
    )["probabilities"]
    assert named.shape == (6, 3)


def test_it_is_loaded_without_this_package(saved: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(saved, tmp_path / "copy")
    program = (
        "import sys, tensorflow as tf, numpy as np; sys.modules['supervised_reptile'] = None;"
        f"model = tf.saved_model.load({str(copy)!r}); s = model.signatures;"
        "w = s['start']()['weights']; x = np.zeros((4, 8, 8, 1), np.float32);"
        "print(s['predict'](weights=w, images=tf.constant(x))['logits'].shape)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stdout.strip() == "(4, 3)", done.stderr


def test_a_damaged_saved_model_is_not_loaded(saved: Path, tmp_path: Path, exported: Path) -> None:
    copy = shutil.copytree(saved, tmp_path / "copy")
    (data,) = (copy / "variables").glob("*.data*")
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 1
    data.write_bytes(content)
    with pytest.raises(UserError, match="not as it was written"):
        load_savedmodel(copy)
    with pytest.raises(UserError, match="not an export of --format savedmodel"):
        load_savedmodel(exported)
