"""`reptile compare`: rankings, intervals, and tests on the same episodes."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from command_line import EXACT, Outcome, assert_refused, call, flags, reference, tree
from scipy import stats
from stored_runs import CLASSES, some_answers, write_result, write_run

from supervised_reptile.analysis.compare import (
    Setting,
    SettingFilter,
    differing_values,
    pairs_of,
    ranked,
    read_runs,
    settings_of,
)
from supervised_reptile.analysis.leaderboard import pairs_table, seeds_table
from supervised_reptile.cli.main import reptile

SETTING = Setting(5, 5, "transductive", "test", 40, 5, 50, 0)


def compare(*arguments: object) -> Outcome:
    return call("compare", *arguments, command=reptile)


def cells(outcome: Outcome) -> list[list[str]]:
    """The lines of all tables, cut into their cells."""
    assert outcome.code == 0, outcome.err
    return [re.split(r" {2,}", line.strip()) for line in outcome.out.splitlines()]


def evaluated(path: Path, answers: int, share: float = 0.7, **fields: object) -> Path:
    """A run with one evaluation in the SETTING."""
    return write_result(
        write_run(path, **fields), {"transductive_test": some_answers(answers, share)}
    )


# ---- the command on trained runs


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with runs: reference, sgd with other flags, and split with another --seed."""
    run, outcome = reference(tmp_path_factory)
    assert outcome.code == 0, outcome.err
    folder = tmp_path_factory.mktemp("compared")
    shutil.copytree(run, folder / "reference")
    data = json.loads((run / "config.json").read_text())["config"]["data_dir"]
    for name, more in (("sgd", flags(sgd=True, learning_rate=0.003)), ("split", flags(seed=1))):
        place = flags(data_dir=data, checkpoint=folder / name, meta_iters=10)
        outcome = call(*EXACT, *place, *more, "--both-modes")
        assert outcome.code == 0, outcome.err
    return folder


def counts(run: Path, key: str = "transductive_test") -> np.ndarray:
    (evaluation,) = json.loads((run / "results.json").read_text())["evaluations"]
    return np.load(run / evaluation["episodes"])[key]


def test_trained_runs_are_ranked_and_tested(trained: Path) -> None:
    before = tree(trained)
    runs = [trained / name for name in ("reference", "sgd", "split")]
    outcome = compare(*runs)
    lines = cells(outcome)
    means = {run.name: counts(run).mean() / 3 for run in runs}
    shown = [line[0] for line in lines if line[0] in means][:3]
    assert shown == sorted(means, key=lambda name: -means[name])
    for run in runs:
        rates = counts(run) / 3
        half_width = 1.96 * rates.std(ddof=1) / 20**0.5
        line = next(line for line in lines if line[0] == run.name)
        assert f"{100 * rates.mean():.2f} ± {100 * half_width:.2f}" in line
    heading = next(line for line in lines if line[0] == "run")
    assert heading[1:6] == ["--seed", "--learning-rate", "--meta-iters", "--sgd", "test"]
    expected = stats.ttest_rel(counts(runs[0]) / 3, counts(runs[1]) / 3)
    pair = next(line for line in lines if {*line[:2]} == {"reference", "sgd"} and len(line) == 4)
    assert float(pair[3].strip("<")) == pytest.approx(expected.pvalue, rel=0.1, abs=1e-4)
    sign = 1 if pair[0] == "reference" else -1
    difference = sign * (counts(runs[0]) - counts(runs[1])).mean() / 3
    assert pair[2].startswith(f"{100 * difference:+.2f} ± ")
    assert "other test classes (--seed divides them)" in outcome.out.replace("\n", " ")
    assert tree(trained) == before


def test_the_columns_are_the_ways_of_evaluation(trained: Path) -> None:
    runs = [trained / name for name in ("reference", "sgd")]
    lines = cells(compare(*runs))
    assert ["transductive", "non-transductive"] in lines
    by_mode = cells(compare(*runs, "--mode", "non-transductive"))
    row = next(line for line in by_mode if line[0] == "reference")
    assert row[-1] == "-"  # evaluated in one mode only
    assert next(line for line in by_mode if line[0] == "sgd")[-1] != "-"
    everything = compare(*runs, "--split", "train", "--split", "test", "--shots", "5").out
    assert "train" in everything


def test_csv_has_every_accuracy(trained: Path) -> None:
    outcome = compare(trained / "reference", trained / "sgd", "--split", "test", "--csv")
    assert outcome.code == 0, outcome.err
    rows = list(csv.DictReader(io.StringIO(outcome.out)))
    assert len(rows) == 3  # one mode, and two
    for row in rows:
        run = Path(row["run"])
        rates = counts(run, f"{row['mode']}_{row['split']}") / 3
        assert float(row["accuracy"]) == pytest.approx(rates.mean())
        assert float(row["half_width"]) == pytest.approx(1.96 * stats.sem(rates))
        assert (row["way"], row["shots"], row["episodes"], row["split"]) == ("3", "5", "20", "test")
        assert (
            row["outer_steps"] == row["--meta-iters"] == {"reference": "400", "sgd": "10"}[run.name]
        )
        assert row["--sgd"] == ("yes" if run.name == "sgd" else "no")


# ---- what differs


def test_only_flags_that_differ_are_shown(tmp_path: Path) -> None:
    paths = [
        write_run(tmp_path / "a", inner_rate=0.001, train_shots=5, shots=1, eval_steps=3),
        write_run(tmp_path / "b", inner_rate=0.00025, train_shots=0, shots=5, save_interval=9),
        write_run(tmp_path / "c", inner_rate=0.1 + 0.2, train_shots=5, sgd=True, data_dir="x"),
    ]
    assert differing_values(read_runs(paths)) == {
        "--learning-rate": ["0.001", "0.00025", "0.30000000000000004"],
        "--sgd": ["no", "no", "yes"],
    }
    assert differing_values(read_runs(paths[:1])) == differing_values([]) == {}


def test_other_images_are_called_by_their_place_if_that_tells_them_apart(tmp_path: Path) -> None:
    paths = [
        write_run(tmp_path / name, data=data, data_dir=place)
        for name, data, place in (("a", "1" * 64, "x"), ("b", "2" * 64, "y"), ("c", "3" * 64, "y"))
    ]
    assert differing_values(read_runs(paths[:2])) == {"--data-dir": ["x", "y"]}
    assert differing_values(read_runs(paths)) == {"data": ["1" * 8, "2" * 8, "3" * 8]}


# ---- settings


def test_settings_that_most_runs_share_come_first(tmp_path: Path) -> None:
    one, two = (write_run(tmp_path / name) for name in ("one", "two"))
    answers = some_answers(0)
    both = {"non_transductive_test": answers, "transductive_test": answers}
    write_result(one, both, shots=1)
    write_result(one, both, shots=5)
    write_result(two, {**both, "transductive_train": answers}, shots=5)
    found = settings_of(read_runs([one, two]))
    assert [(s.shots, s.mode, s.split) for s in found] == [
        (5, "transductive", "test"),
        (5, "non_transductive", "test"),
        (1, "transductive", "test"),
        (1, "non_transductive", "test"),
        (5, "transductive", "train"),
    ]
    assert {s.shots for s in settings_of(read_runs([one, two]), SettingFilter(shots=[1]))} == {1}


def test_a_run_evaluated_anew_counts_with_the_newest(tmp_path: Path) -> None:
    run = evaluated(tmp_path / "run", 0)
    newest = {"transductive_test": some_answers(1), "non_transductive_test": some_answers(2)}
    write_result(run, newest)
    (found,) = read_runs([run])
    assert found.results[SETTING].accuracy.mean == pytest.approx(some_answers(1).mean() / 5)


def test_runs_without_results_are_listed(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / "none"), evaluated(tmp_path / "some", 0, seed=1)]
    lines = cells(compare(*runs))
    assert ["none", "0", "-"] in lines
    lines = cells(compare(runs[0]))
    assert ["none", "-"] in lines
    rows = list(csv.DictReader(io.StringIO(compare(*runs, "--csv").out)))
    assert [row["accuracy"] != "" for row in rows] == [True, False]
    assert rows[1]["--seed"] == "0"


def test_results_of_unfinished_training_are_marked(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", outer_steps=1000)
    write_result(run, {"transductive_test": some_answers(0)}, outer_steps=300)
    outcome = compare(run)
    assert any(line[-1].endswith(" *") for line in cells(outcome))
    assert "run was evaluated before its training ended, after 300 of 1,000 outer" in outcome.out


def test_a_single_episode_has_no_interval(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / name) for name in ("a", "b")]
    for run, correct in zip(runs, (4, 3), strict=True):
        write_result(run, {"transductive_test": np.array([correct])})
    lines = cells(compare(*runs))
    assert ["a", "80.00 ± ?"] in lines
    assert ["a", "b", "+20.00 ± ?", "?"] in lines
    third = write_result(write_run(tmp_path / "c"), {"transductive_test": np.array([2])})
    assert ["a", "c", "+40.00 ± ?", "?", "?"] in cells(compare(*runs, third))


def test_a_wide_table_is_cut_in_two(tmp_path: Path) -> None:
    fields = {
        "seed": 1, "inner_batch": 7, "inner_steps": 9, "inner_rate": 0.5, "outer_step_size": 1.0,
        "outer_step_size_final": 0.0, "meta_batch": 3, "outer_steps": 7, "weight_decay": 0.5,
    }  # fmt: skip
    runs = [evaluated(tmp_path / "a", 0), evaluated(tmp_path / "b", 1, **fields)]
    outcome = compare(*runs)
    assert "The flags in which the runs differ" in outcome.out
    assert max(map(len, outcome.out.splitlines())) < 140
    assert any("--weight-decay" in line and "±" not in line for line in cells(outcome))


def test_a_wide_table_without_flags_is_whole(tmp_path: Path) -> None:
    runs = [evaluated(tmp_path / (name * 150), 0) for name in "ab"]
    assert "The flags in which the runs differ" not in compare(*runs).out


# ---- pairs


def why_not(*paths: Path) -> str:
    """What keeps two runs from being tested on the same episodes."""
    (pair,) = pairs_of(read_runs(paths), SETTING)
    assert pair.outcome is None or not pair.obstacle
    assert bool(pairs_table([pair], SETTING).columns) is bool(pair.outcome)
    return pair.obstacle


def test_pairs_are_tested_where_the_episodes_are_the_same(tmp_path: Path) -> None:
    one = evaluated(tmp_path / "one", 0)
    (tmp_path / "one" / "checkpoints").mkdir()
    same = evaluated(tmp_path / "same", 1, sgd=True, shots=1, eval_episodes=7, data_dir="y")
    assert why_not(one, same) == ""
    (pair,) = pairs_of(read_runs([one, same]), SETTING)
    expected = stats.ttest_rel(some_answers(0), some_answers(1))
    assert pair.outcome.p == pytest.approx(expected.pvalue)
    assert pair.outcome.difference == pytest.approx((some_answers(0) - some_answers(1)).mean() / 5)


def test_pairs_on_other_episodes_are_not_tested(tmp_path: Path) -> None:
    one = evaluated(tmp_path / "one", 0)
    others = {
        "they use different images": {"data": "others"},
        "other test classes": {"classes": {**CLASSES, "test": ["d", "f"]}},
        "other test classes (--seed divides them)": {
            "classes": {**CLASSES, "test": ["e", "d"]},
            "seed": 3,
        },
        "other test classes (--val-classes divides them)": {
            "classes": {"train": ["a"]},
            "val_classes": 2,
        },
    }
    for i, (why, fields) in enumerate(others.items()):
        assert why_not(one, evaluated(tmp_path / f"{i}", 1, **fields)) == why
    train = evaluated(tmp_path / "t", 1, classes={**CLASSES, "train": ["a"]})
    assert why_not(one, train) == ""  # other training classes are a way to differ


def test_other_settings_are_another_column(tmp_path: Path) -> None:
    one = evaluated(tmp_path / "one", 0)
    for name in ("shots", "eval_batch", "eval_steps", "eval_seed"):
        other = write_run(tmp_path / name)
        write_result(other, {"transductive_test": some_answers(1)}, **{name: 3})
        assert pairs_of(read_runs([one, other]), SETTING) == []
        assert len(settings_of(read_runs([one, other]))) == 2
    twenty = write_result(
        write_run(tmp_path / "way", way=20), {"transductive_test": some_answers(1)}
    )
    assert len(settings_of(read_runs([one, twenty]))) == 2


def test_lost_episodes_keep_the_accuracies(tmp_path: Path) -> None:
    one, lost = evaluated(tmp_path / "one", 0), evaluated(tmp_path / "lost", 1)
    (lost / "episodes" / "0.npz").unlink()
    assert "per-episode results of lost cannot be read" in why_not(one, lost)
    assert compare(one, lost).code == 0
    np.savez(lost / "episodes" / "0.npz", transductive_test=np.arange(3))
    assert "per-episode results of lost cannot be read (they are not 40)" in why_not(one, lost)
    np.savez(lost / "episodes" / "0.npz", transductive_val=some_answers(1))
    assert "cannot be read" in why_not(one, lost)
    np.savez(lost / "episodes" / "0.npz", transductive_test=np.array([{}], object))
    assert "cannot be read" in why_not(one, lost)


def test_lost_results_are_missed(tmp_path: Path) -> None:
    lost = evaluated(tmp_path / "lost", 0)
    (lost / "results.json").unlink()
    assert_refused(compare(lost), str(lost / "results.json"), "missing", "--pretrained")


def test_several_tests_are_corrected(tmp_path: Path) -> None:
    paths = [evaluated(tmp_path / f"{i}", i, 0.7 + 0.02 * i) for i in range(3)]
    runs = ranked(read_runs(paths), SETTING)
    table = pairs_table(pairs_of(runs, SETTING), SETTING)
    assert table.columns[-1] == "p, Holm"
    p, adjusted = (np.array([float(row[i]) for row in table.rows]) for i in (3, 4))
    order = np.argsort(p)
    expected = np.minimum(1, np.maximum.accumulate(p[order] * [3, 2, 1]))
    np.testing.assert_allclose(adjusted[order], expected, atol=0.02)
    assert "for 3 tests" in table.note
    two = pairs_table(pairs_of(runs[:2], SETTING), SETTING)
    assert len(two.columns) == 4
    assert "Holm" not in two.note


def test_a_run_against_its_copy(tmp_path: Path) -> None:
    one = evaluated(tmp_path / "one", 0)
    shutil.copytree(one, tmp_path / "copy")
    lines = cells(compare(one, tmp_path / "copy"))
    assert ["one", "copy", "+0.00 ± 0.00", "1.00"] in lines


# ---- seeds


def test_runs_that_differ_in_their_seed_are_summed_up(tmp_path: Path) -> None:
    paths = [
        evaluated(tmp_path / f"{name}-{seed}", 10 * sgd + seed, seed=seed, sgd=sgd)
        for name, sgd in (("adam", False), ("sgd", True))
        for seed in range(3)
    ]
    alone = evaluated(tmp_path / "alone", 50, inner_rate=0.5)
    runs = read_runs([*paths, alone])
    table = seeds_table(runs, SETTING)
    assert table.columns[:3] == ("--sgd", "seeds", "mean")
    for row, start in zip(table.rows, (0, 10), strict=True):
        values = [some_answers(start + seed).mean() * 20 for seed in range(3)]
        low, high = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
        expected = (np.mean(values), np.std(values, ddof=1), (high - low) / 2)
        shown = (float(row[2]), float(row[3]), float(row[4].strip("± ")))
        assert shown == pytest.approx(expected, abs=0.006)
        assert row[1] == "0, 1, 2"
    assert "Over seeds" in compare(*paths).out
    assert "Over seeds" not in compare(paths[0], paths[3], alone).out
    assert seeds_table([], SETTING) is None


def test_weights_of_another_moment_are_no_other_seed(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / f"{seed}", seed=seed) for seed in (0, 1)]
    for run, steps in zip(runs, (100, 200), strict=True):
        write_result(run, {"transductive_test": some_answers(0)}, outer_steps=steps)
    assert seeds_table(read_runs(runs), SETTING) is None


# ---- runs evaluated with other settings


def test_what_was_evaluated_otherwise_is_shown_by_flags(tmp_path: Path) -> None:
    one, two, three = (write_run(tmp_path / name) for name in ("one", "two", "three"))
    write_result(one, {"transductive_val": some_answers(0)})
    assert_refused(
        compare(one), "--split test in 1 run: --split val shows 5-way 5-shot transductive val"
    )
    assert compare(one, "--split", "val").code == 0
    write_result(two, {"non_transductive_test": some_answers(0)}, shots=1)
    outcome = compare(one, two, "--shots", 7, "--mode", "transductive")
    assert_refused(
        outcome,
        "no accuracy for --shots 7 --mode transductive --split test in 2 runs",
        "--shots 5 --split val shows",
        "--shots 1 --mode non-transductive shows 5-way 1-shot non-transductive test",
    )
    for more in ([], ["--csv"]):
        outcome = compare(one, two, three, *more)
        assert outcome.code == 0
        shown = "--split val shows 5-way 5-shot transductive val"
        assert outcome.err == f"Note: evaluated with other settings: one: {shown}\n"


def test_different_images_in_one_table_are_said(tmp_path: Path) -> None:
    one, same = evaluated(tmp_path / "one", 0), evaluated(tmp_path / "same", 1, sgd=True)
    other = evaluated(tmp_path / "other", 2, data="others", data_dir="elsewhere")
    assert "different images" not in compare(one, same).out
    assert "These runs use different images" in compare(one, same, other).out


# ---- where runs are


def test_runs_are_found_below_folders(tmp_path: Path) -> None:
    paths = [
        evaluated(tmp_path / "runs" / name, i, seed=i)
        for i, name in enumerate(("alone", "sweep/trials/000", "sweep/trials/001"))
    ]
    (tmp_path / "runs" / "again").symlink_to(paths[0])
    evaluated(paths[0] / "inner", 7)  # a run's own, as `reptile sine` has them
    evaluated(tmp_path / "runs" / ".hidden", 8)
    outcome = compare(tmp_path / "runs")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out == compare(*paths).out == compare(tmp_path / "runs", *paths).out


def test_what_is_no_run_is_skipped(tmp_path: Path) -> None:
    """As in `reptile compare runs/*`."""
    run = evaluated(tmp_path / "run", 0)
    others = [tmp_path / name for name in ("a.txt", "b", "c", "d\n", "dangling")]
    others[0].touch()
    for folder in others[1:-1]:
        folder.mkdir()
    others[-1].symlink_to("nothing")
    (others[1] / "config.json").write_text("{}")  # as many programs have one
    outcome = compare(*others, run)
    assert outcome.out == compare(run).out
    named = ", ".join(map(str, others[:3]))
    assert outcome.err == f"Note: skipped, no run in it: {named} and 2 more\n"
    assert_refused(compare(*others), named, "no run in it")


def test_a_damaged_run_among_others_is_skipped(tmp_path: Path) -> None:
    runs = [evaluated(tmp_path / "runs" / name, i) for i, name in enumerate("ab")]
    whole = compare(runs[0]).out
    for name in ("config.json", "classes.json", "results.json"):
        content = (runs[1] / name).read_text()
        for damage in (lambda path: path.write_text(""), Path.unlink):
            damage(runs[1] / name)
            for paths in ([tmp_path / "runs"], runs):
                outcome = compare(*paths)
                assert (outcome.code, outcome.out) == (0, whole)
                assert outcome.err.startswith(f"Note: skipped {runs[1]}")
                assert outcome.err.count("\n") == 1
            assert_refused(compare(runs[1]), str(runs[1]))
            (runs[1] / name).write_text(content)
    file = runs[1] / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "kind": "sine waves"}))
    assert "learns sine waves" in compare(*runs).err
    assert_refused(compare(runs[1]), "learns sine waves")
    (runs[0] / "config.json").write_text("")
    assert_refused(compare(*runs), str(runs[0] / "config.json"), "and 1 more")


# ---- refusals


def test_what_cannot_be_compared_is_named(tmp_path: Path) -> None:
    run = evaluated(tmp_path / "run", 0)
    (tmp_path / "photos").mkdir()
    assert_refused(compare(tmp_path / "photos"), str(tmp_path / "photos"), "no run in it")
    assert_refused(compare(run, tmp_path / "nowhere"), str(tmp_path / "nowhere"), "no such folder")
    assert_refused(compare(), "RUN", code=2)
    assert_refused(compare(run, "--mode", "both"), "--mode", code=2)
    known = (run / "results.json").read_text()
    for broken in ("no JSON", "[]", '{"evaluations": [7]}', known.replace('"test"', '"exam"')):
        (run / "results.json").write_text(broken)
        assert_refused(compare(run), str(run / "results.json"), "not readable")
    (run / "config.json").write_text("{}")
    assert_refused(compare(run), str(run / "config.json"))
