"""The model that predicts: its choice of examples, its inner steps, and its SavedModel."""

from __future__ import annotations

import functools
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import small_problem as small
import tensorflow as tf
from small_problem import RATE, small_snapshot

from supervised_reptile.algorithms.evaluate import (
    NON_TRANSDUCTIVE,
    TRANSDUCTIVE,
    Episodes,
    query_scores,
)
from supervised_reptile.algorithms.inner_loop import Examples, InnerRule, adapt
from supervised_reptile.errors import UserError
from supervised_reptile.inference.export import load_savedmodel, write_export
from supervised_reptile.inference.few_shot_classifier import FewShotClassifier
from supervised_reptile.inference.few_shot_model import FewShotModel, inner_batches
from supervised_reptile.networks.conv4 import ConvNet
from supervised_reptile.networks.layers import image_patches, in_graph_patches
from supervised_reptile.runs.snapshot import flat, write_npz

LABELS = np.array([0, 1, 2, 0, 1, 2], np.int32)
STEPS, BATCH = 7, 4
PROGRAM = """\
import sys
sys.modules["supervised_reptile"] = None
import numpy as np, tensorflow as tf
given = dict(np.load("given.npz"))
model = tf.saved_model.load("model")
assert list(model.signatures) == ["serving_default"], model.signatures
serve = model.signatures["serving_default"]
print(sorted(serve.structured_input_signature[1]))
answer = serve(**{name: tf.constant(value) for name, value in given.items()})
np.save("answer.npy", answer["probabilities"])
"""


def pictures(count: int, first: int = 0) -> np.ndarray:
    """Float32 [count, 8, 8, 1] from 0 to 1."""
    return small.small_images()[first:][:count].astype(np.float32) / small.MAX_VALUE


def some_model(**fields: object) -> FewShotModel:
    return FewShotModel(small_snapshot(eval_batch=BATCH, **fields))


def slow_hash(number: int) -> int:
    x = (number + 1) * 0x1E3779B9 % 2**32
    x = (x ^ x >> 16) * 0x7FEB352D % 2**32
    x = (x ^ x >> 15) * 0x31848BAB % 2**32
    return (x ^ x >> 16) >> 1


def slow_batches(count: int, steps: int, batch: int, replacement: bool = False) -> list[list[int]]:
    """What `inner_batches` says, one example after the other."""
    shuffles = (
        sorted(range(count), key=lambda i: slow_hash(shuffle * count + i))
        for shuffle in range(10**6)
    )
    batches, left = [], []
    for _ in range(steps):
        left = [] if replacement else left
        while len(left) < batch:
            left += next(shuffles)
        batches.append(left[:batch])
        left = left[batch:]
    return batches


@pytest.mark.parametrize("replacement", [False, True])
@pytest.mark.parametrize(("count", "batch"), [(5, 5), (6, 4), (25, 5), (2, 5), (1, 3)])
def test_examples_are_chosen_by_the_rule(count: int, batch: int, replacement: bool) -> None:
    for steps in (0, 1, 50):
        chosen = inner_batches(tf.constant(count), tf.constant(steps), batch, replacement)
        assert chosen.numpy().tolist() == slow_batches(count, steps, batch, replacement)


def test_the_rule_prefers_no_example_and_no_order() -> None:
    chosen = inner_batches(tf.constant(5), tf.constant(2000), 5, False).numpy()
    for place in range(5):
        assert np.bincount(chosen[:, place]).min() > 320  # 400 expected, standard deviation 18
    assert len({tuple(order) for order in chosen.tolist()}) == 120


def test_patches_in_a_graph_are_the_same() -> None:
    for height, width, channels in ((28, 28, 1), (7, 10, 2)):
        images = np.random.default_rng(0).random((3, height, width, channels), np.float32)
        for stride in (1, 2):
            np.testing.assert_array_equal(
                in_graph_patches(tf.constant(images), stride), image_patches(images, stride)
            )


@pytest.mark.parametrize("transductive", [False, True])
def test_it_answers_as_evaluation_does(transductive: bool) -> None:
    support, queries = pictures(6), pictures(5, first=15)
    model = some_model()
    weights = model.adapt(support, LABELS, STEPS)
    classify = model.classify_together if transductive else model.classify
    answers = classify(weights, support, queries, 3)
    problem, state = small.classifier(InnerRule(RATE), one=1), small.some_state()
    state = state._replace(weights=(tf.constant(flat(small_snapshot().weights), tf.float64),))
    table = (tf.constant(image_patches(np.concatenate([support, queries]), 2)),)
    batches = np.array(slow_batches(6, STEPS, BATCH), np.int32)
    adapted = adapt(problem, state, table, Examples(batches, LABELS[batches]))
    np.testing.assert_allclose(weights, adapted.weights[0], atol=1e-5)
    episode = Episodes(None, tf.range(6), Examples(tf.range(6, 11)[None], None))
    mode = TRANSDUCTIVE if transductive else NON_TRANSDUCTIVE
    (scores,) = query_scores(problem, adapted.weights, table, episode, (mode,))
    np.testing.assert_allclose(answers, tf.nn.softmax(scores[0]), atol=1e-4)


def test_a_query_does_not_depend_on_the_others_unless_transductive() -> None:
    support, queries = pictures(6), pictures(5, first=15)
    model = some_model()
    weights = model.adapt(support, LABELS, STEPS)
    for classify, alike in ((model.classify, True), (model.classify_together, False)):
        together = classify(weights, support, queries, 3).numpy()[0]
        alone = classify(weights, support, queries[:1], 3).numpy()[0]
        assert np.allclose(together, alone, atol=1e-5) == alike


def test_no_steps_leave_the_weights_as_they_are() -> None:
    weights = some_model().adapt(pictures(6), LABELS, 0)
    np.testing.assert_array_equal(weights, flat(small_snapshot().weights))


def test_fewer_classes_use_the_first_outputs() -> None:
    model, support = some_model(), pictures(6)
    after = model.adapt(support, LABELS % 2, STEPS)
    answers = model.classify(after, support, pictures(8), 2)
    assert answers.shape == (8, 2)
    np.testing.assert_allclose(np.sum(answers, axis=1), 1, atol=1e-5)
    before, names = flat(small_snapshot().weights), [name for name, _ in small.NET.shapes]
    assert names[-1] == "dense/bias"
    assert after[-1] == before[-1]  # of the output that has no class
    assert after[-2] != before[-2]


# --- SavedModel


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small model, exported."""
    folder = tmp_path_factory.mktemp("saved") / "model"
    write_export(folder, small_snapshot(eval_batch=BATCH), "savedmodel")
    return folder


def served(folder: Path, **inputs: object) -> np.ndarray:
    given = {
        "support_images": pictures(6),
        "support_labels": LABELS,
        "query_images": pictures(5, first=15),
        "steps": STEPS,
        **inputs,
    }
    tensors = {name: tf.constant(value) for name, value in given.items()}
    return loaded(folder).signatures["serving_default"](**tensors)["probabilities"].numpy()


loaded = functools.cache(load_savedmodel)


def test_without_this_package_the_answers_are_the_same(saved: Path, tmp_path: Path) -> None:
    shutil.copytree(saved, tmp_path / "model")
    labels, queries = np.array(["b", "c", "a"] * 2), pictures(9, first=15)
    np.savez(
        tmp_path / "given.npz",
        support_images=pictures(6),
        support_labels=np.array([1, 2, 0] * 2, np.int32),
        query_images=queries,
        steps=np.int32(STEPS),
    )
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    names = ["query_images", "steps", "support_images", "support_labels"]
    assert done.stdout.strip() == str(names)
    write_npz(tmp_path / "weights.npz", small_snapshot(eval_batch=BATCH))
    ours = FewShotClassifier(tmp_path / "weights.npz", steps=STEPS).fit(pictures(6), labels)
    answers = np.load(tmp_path / "answer.npy")
    assert answers.shape == (9, 3)
    np.testing.assert_allclose(answers, ours.predict_proba(queries), atol=1e-6)


def test_steps_and_classes_are_the_callers_choice(saved: Path) -> None:
    assert served(saved, support_labels=LABELS % 2).shape == (5, 2)
    assert np.abs(served(saved, steps=0) - served(saved, steps=50)).max() > 0.01


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"support_labels": LABELS + 1}, "at most 3 classes"),
        ({"support_labels": LABELS - 1}, "0, 1, 2"),
        ({"support_labels": LABELS[:5]}, "as many support labels"),
        ({"support_images": pictures(0), "support_labels": LABELS[:0]}, "images are needed"),
        ({"query_images": pictures(0)}, "query images are needed"),
        ({"steps": -1}, "number of inner steps"),
        ({"support_images": pictures(6) * np.float32("nan")}, "support images are numbers from 0"),
        ({"query_images": pictures(5) * np.float32("nan")}, "query images are numbers from 0 to 1"),
        ({"query_images": pictures(5) + np.float32("inf")}, "query images are numbers from 0 to 1"),
        ({"query_images": pictures(5) * 255}, "query images are numbers from 0 to 1"),
        ({"support_images": pictures(6) - 1, "steps": 0}, "support images are numbers from 0 to 1"),
    ],
)
def test_it_refuses_nonsense(saved: Path, inputs: dict, words: str) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError, match=words):
        served(saved, **inputs)


def test_inner_steps_that_diverge_are_refused(tmp_path: Path) -> None:
    snapshot = small_snapshot(inner_rate=1e30)
    write_export(tmp_path / "model", snapshot, "savedmodel")
    with pytest.raises(tf.errors.InvalidArgumentError, match="the inner steps diverged"):
        served(tmp_path / "model")
    write_npz(tmp_path / "weights.npz", snapshot)
    with pytest.raises(UserError, match=r"weights\.npz: 7 inner steps .* not finite"):
        FewShotClassifier(tmp_path / "weights.npz", steps=STEPS).fit(pictures(6), LABELS)


def test_the_pooling_network_as_well(tmp_path: Path) -> None:
    net = ConvNet((9, 8, 3), way=4, filters=4, pooling=True, blocks=2)
    write_export(tmp_path / "model", small_snapshot(net), "savedmodel")
    images = np.random.default_rng(0).random((6, 9, 8, 3)).astype(np.float32)
    answers = served(tmp_path / "model", support_images=images, query_images=images)
    model = FewShotModel(small_snapshot(net))
    weights = model.adapt(images, LABELS, STEPS)
    np.testing.assert_allclose(answers, model.classify(weights, images, images, 3), atol=1e-6)


def test_a_damaged_saved_model_is_not_loaded(saved: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(saved, tmp_path / "copy")
    (data,) = (copy / "variables").glob("*.data*")
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 1
    data.write_bytes(content)
    with pytest.raises(UserError, match="not as it was written"):
        load_savedmodel(copy)
    write_export(tmp_path / "npz", small_snapshot(), "npz")
    with pytest.raises(UserError, match="not an export of --format savedmodel"):
        load_savedmodel(tmp_path / "npz")
