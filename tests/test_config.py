"""Config: its flags and defaults, its contradictions, and how stored ones are compared."""

from __future__ import annotations

import dataclasses
from itertools import product

import click
import pytest
from click.testing import CliRunner

from supervised_reptile.cli.run_command import run_command
from supervised_reptile.config import (
    DATA,
    EVALUATED,
    EVALUATED_BY_NAME,
    EVALUATION,
    IMAGES,
    MEASURED,
    PLACE,
    PRESETS,
    RESUMED,
    TRAINING,
    Config,
    config_from_flags,
    config_options,
    differing_flags,
    fields_of,
    fill_from,
    flag_of,
)
from supervised_reptile.errors import SettingsError
from supervised_reptile.training.sources import Source

# The original program's flags and defaults; None where a flag without a value is off.
ORIGINAL = {
    "--pretrained": None,
    "--seed": 0,
    "--checkpoint": "model_checkpoint",
    "--classes": 5,
    "--shots": 5,
    "--train-shots": 0,
    "--inner-batch": 5,
    "--inner-iters": 20,
    "--replacement": False,
    "--learning-rate": 0.001,
    "--meta-step": 0.1,
    "--meta-step-final": 0.1,
    "--meta-batch": 1,
    "--meta-iters": 400_000,
    "--eval-batch": 5,
    "--eval-iters": 50,
    "--eval-samples": 10_000,
    "--eval-interval": 10,
    "--weight-decay": 1,
    "--transductive": False,
    "--foml": False,
    "--foml-tail": None,
    "--sgd": False,
}
NEW = {
    "--algorithm": "reptile",
    "--task-order": "chained",
    "--val-classes": 0,
    "--eval-seed": 0,
    "--eval-splits": "all",
    "--look-episodes": 0,
    "--threads": 0,
    "--resume": False,
    "--overwrite": False,
}
# Every flag of the original at work; a published command line has no more than these.
PUBLISHED = (
    "--seed 1 --checkpoint ckpt --classes 20 --shots 1 --train-shots 10 --inner-batch 20 "
    "--inner-iters 10 --replacement --learning-rate 0.0005 --meta-step 1 --meta-step-final 0 "
    "--meta-batch 5 --meta-iters 200000 --eval-batch 10 --eval-iters 50 --eval-samples 100 "
    "--eval-interval 1 --weight-decay 0.99 --transductive --foml --foml-tail 5 --sgd"
)


def program() -> click.Command:
    """The command line of the programs."""
    return run_command(
        "Train.", Source("program.py", "omniglot_net", lambda config: None), omit=fields_of(IMAGES)
    )


@click.command()
@config_options()
@click.pass_context
def parse(context: click.Context, **values: object) -> Config:
    """Flags to Config, and no more."""
    given = click.core.ParameterSource.COMMANDLINE
    explicit = {name for name in values if context.get_parameter_source(name) == given}
    return config_from_flags(values, explicit)


def parsed(line: str) -> Config:
    return parse.main(line.split(), standalone_mode=False)


def defaults_of(command: click.Command) -> dict[str, object]:
    values = command.make_context("program.py", []).params
    return {
        option.opts[0]: values[option.name] for option in command.params if option.name in values
    }


def test_flags_of_the_original_with_their_defaults() -> None:
    defaults = defaults_of(program())
    assert {flag: defaults[flag] for flag in ORIGINAL} == ORIGINAL
    assert {flag: defaults[flag] for flag in NEW} == NEW


def test_defaults_of_flags_are_those_of_config() -> None:
    assert parsed("") == Config()


def test_defaults_may_be_overridden_and_flags_left_out() -> None:
    source = Source("program.py", "omniglot_net", lambda config: None)
    command = run_command("", source, omit=("sgd",), shots=3)
    defaults = defaults_of(command)
    assert defaults["--shots"] == 3
    assert "--sgd" not in defaults


def test_a_published_command_line_reaches_every_field() -> None:
    assert parsed(PUBLISHED.replace("--foml ", "--algorithm foml ")) == Config(
        seed=1, checkpoint="ckpt", way=20, shots=1, train_shots=10, inner_batch=20,
        inner_steps=10, replacement=True, inner_rate=0.0005, outer_step_size=1,
        outer_step_size_final=0, meta_batch=5, outer_steps=200_000, eval_batch=10, eval_steps=50,
        eval_episodes=100, eval_interval=1, weight_decay=0.99, transductive=True, tail_shots=5,
        sgd=True, algorithm="foml",
    )  # fmt: skip


@pytest.mark.parametrize("line", ["--pretrained", "--pretrained --seed 3", "--seed 3 --pretrained"])
def test_pretrained_needs_no_value(line: str) -> None:
    assert parsed(line).pretrained
    assert not Config().pretrained


@pytest.mark.parametrize(
    "line",
    [
        "--classes 0", "--shots 0", "--train-shots -1", "--inner-batch 0", "--inner-iters 0",
        "--meta-batch 0", "--meta-iters 0", "--eval-batch 0", "--eval-iters 0", "--eval-samples 0",
        "--eval-interval 0", "--learning-rate -1", "--meta-step -0.1", "--weight-decay -1",
        "--foml-tail 0", "--seed -1", "--eval-seed -1", "--look-episodes -1",
        "--val-classes -1", "--threads -1",
        "--save-interval 0", "--algorithm maml2", "--task-order random", "--classes five",
        "--precision float16",
    ],
)  # fmt: skip
def test_values_out_of_range_are_refused(line: str) -> None:
    with pytest.raises(click.BadParameter) as caught:
        parsed(line)
    assert line.split()[0] in caught.value.format_message()


def captured(monkeypatch: pytest.MonkeyPatch, line: str) -> tuple[Config, frozenset[str]]:
    """What the programs make of a command line, without running it."""
    requests = []
    from supervised_reptile.training import experiment

    monkeypatch.setattr(experiment, "run_experiment", requests.append)
    result = CliRunner().invoke(program(), line.split(), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    (request,) = requests
    return request.config, request.explicit


@pytest.mark.parametrize(
    "line", ["--foml", "--algorithm foml", "--foml --algorithm foml", "--foml-tail 1 --foml"]
)
def test_foml_is_a_synonym(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    config, explicit = captured(monkeypatch, line)
    assert config.algorithm == "foml"
    assert "algorithm" in explicit
    assert config == Config(algorithm="foml", tail_shots=1 if "tail" in line else None)


def test_only_given_flags_are_explicit(monkeypatch: pytest.MonkeyPatch) -> None:
    config, explicit = captured(monkeypatch, "--shots 5 --sgd")
    assert config == Config(sgd=True)
    assert explicit == {"shots", "sgd"}


@pytest.mark.parametrize("algorithm", ["reptile", "maml", "joint"])
def test_foml_contradicts_other_algorithms(algorithm: str) -> None:
    result = CliRunner().invoke(program(), ["--foml", "--algorithm", algorithm])
    assert result.exit_code == 2
    assert f"--foml contradicts --algorithm {algorithm}" in result.output


def is_sound(algorithm: str, inner_steps: int, tail_shots: int | None, task_shots: int) -> bool:
    if algorithm == "joint" and inner_steps != 1:
        return False
    return tail_shots is None or (algorithm in ("foml", "maml") and tail_shots < task_shots)


@pytest.mark.parametrize("algorithm", ["reptile", "foml", "maml", "joint"])
def test_contradictions_are_refused_in_every_combination(algorithm: str) -> None:
    for steps, tail, shots, train_shots in product((1, 2), (None, 1, 3, 4), (1, 3), (0, 3, 4)):
        values = {"algorithm": algorithm, "inner_steps": steps, "tail_shots": tail, "sgd": True}
        values |= {"shots": shots, "train_shots": train_shots}
        if is_sound(algorithm, steps, tail, train_shots or shots):
            Config(**values)
        else:
            with pytest.raises(SettingsError):
                Config(**values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"algorithm": "joint"},
            "--algorithm joint means one inner step: leave --inner-iters out or give 1",
        ),
        (
            {"tail_shots": 1},
            "--foml-tail needs --foml (or --algorithm foml) or --algorithm maml",
        ),
        (
            {"algorithm": "maml"},
            "--algorithm maml differentiates through inner steps of plain SGD: give --sgd too",
        ),
        (
            {"tail_shots": 5, "algorithm": "foml"},
            "--foml-tail 5 leaves nothing of the 5 examples per class for the inner batches "
            "before it: give fewer, or more --train-shots",
        ),
    ],
)
def test_contradictions_are_named(values: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Config(**values)
    assert str(caught.value) == message


def test_joint_training_takes_one_inner_step_unless_told_otherwise() -> None:
    assert parsed("--algorithm joint").inner_steps == 1
    assert parsed("--algorithm joint --inner-iters 1").inner_steps == 1
    with pytest.raises(click.UsageError, match="one inner step"):
        parsed("--algorithm joint --inner-iters 20")


def test_task_shots() -> None:
    assert Config(shots=3).task_shots == 3
    assert Config(shots=3, train_shots=7).task_shots == 7


UNLIKE = Config(
    pretrained="checkpoint", seed=1, checkpoint="c", data_dir="d", way=2, shots=3, train_shots=4,
    inner_batch=6, inner_steps=7, replacement=True, inner_rate=0.5, outer_step_size=0.25,
    outer_step_size_final=0.0, meta_batch=3, outer_steps=9, eval_batch=8, eval_steps=11,
    eval_episodes=12, eval_interval=13, weight_decay=0.75, transductive=True, tail_shots=2,
    sgd=True, algorithm="foml", task_order="sequential", precision="bfloat16", val_classes=14,
    eval_seed=15, look_episodes=18, both_modes=True, save_interval=16, threads=2,
    outer_optimizer="adam", log_alignment=True, eval_splits="val", image_size=19, grey=False,
    split="0.5,0,0.5", skip_broken=True,
)  # fmt: skip
FIELDS = [field.name for field in dataclasses.fields(Config)]


def role(name: str) -> str:
    return Config.__dataclass_fields__[name].metadata["role"]


def test_the_example_differs_from_the_defaults_in_every_field() -> None:
    assert [n for n in FIELDS if getattr(UNLIKE, n) == getattr(Config(), n)] == []


@pytest.mark.parametrize("config", [Config(), UNLIKE])
def test_json_round_trip(config: Config) -> None:
    assert Config.from_json(config.to_json()) == config


def test_fields_that_an_older_program_did_not_know_get_their_defaults() -> None:
    assert Config.from_json('{"seed": 3}') == Config(seed=3)


def test_shots_given_for_evaluation_leave_the_training_tasks_alone() -> None:
    stored = Config(shots=5, algorithm="foml", tail_shots=1)
    filled = fill_from(stored, Config(shots=1), {"shots"}, RESUMED)
    assert (filled.shots, filled.task_shots, filled.tail_shots) == (1, 5, 1)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        '{"seat": 1}',
        '{"algorithm": "joint"}',
        Config().to_json()[:-1] + ', "more": 1}',
        "{",
    ],
)
def test_other_json_is_refused(text: str) -> None:
    with pytest.raises((ValueError, TypeError)):
        Config.from_json(text)


def test_differing_flags_name_the_flag_and_both_values() -> None:
    texts = differing_flags(Config(), UNLIKE, ["way", "transductive"], (TRAINING, MEASURED))
    assert texts == [
        "--classes is 5 there and 2 here",
        "--transductive is False there and True here",
    ]


@pytest.mark.parametrize("roles", [(TRAINING,), (EVALUATION,), (TRAINING, EVALUATION)])
def test_differing_flags_look_at_given_flags_of_these_roles_only(roles: tuple[str, ...]) -> None:
    texts = differing_flags(Config(), UNLIKE, FIELDS, roles)
    flags = [text.split(" is ")[0] for text in texts]
    assert flags == [flag_of(name) for name in FIELDS if role(name) in roles]
    assert differing_flags(Config(), UNLIKE, (), roles) == []
    assert differing_flags(UNLIKE, UNLIKE, FIELDS, roles) == []


def test_what_may_change_between_training_and_evaluation() -> None:
    assert {name for name in FIELDS if role(name) == EVALUATION} == {
        "shots", "eval_batch", "eval_steps", "eval_episodes", "eval_seed",
    }  # fmt: skip
    assert {name for name in FIELDS if role(name) == MEASURED} == {
        "transductive", "both_modes", "eval_splits",
    }  # fmt: skip
    assert {name for name in FIELDS if role(name) == DATA} == {"data_dir"}
    assert {name for name in FIELDS if role(name) == PLACE} == {
        "pretrained", "checkpoint",
    }  # fmt: skip


@pytest.mark.parametrize("roles", [RESUMED, EVALUATED, EVALUATED_BY_NAME])
def test_flags_that_nobody_gave_come_from_the_stored_run(roles: tuple[str, ...]) -> None:
    given = {"shots", "eval_steps"}
    filled = fill_from(UNLIKE, Config(shots=9, eval_steps=33), given, roles)
    for name in FIELDS:
        from_stored = name not in given and role(name) in roles
        expected = UNLIKE if from_stored else Config(shots=9, eval_steps=33)
        assert getattr(filled, name) == getattr(expected, name), name


def test_presets_are_the_papers_settings() -> None:
    names = "inner_rate inner_batch inner_steps train_shots outer_steps eval_steps eval_batch way"
    published = {
        "omniglot-5way": (1e-3, 10, 5, 10, 100_000, 50, 5, 5),
        "omniglot-20way": (5e-4, 20, 10, 10, 200_000, 50, 10, 20),
        "miniimagenet-5way": (1e-3, 10, 8, 15, 100_000, 50, 5, 5),
    }
    shared = {"outer_step_size": 1, "outer_step_size_final": 0, "meta_batch": 5}
    assert PRESETS.keys() == published.keys()
    for preset, values in published.items():
        assert PRESETS[preset] == dict(zip(names.split(), values, strict=True)) | shared
        assert Config(**PRESETS[preset]).task_shots == values[3]
