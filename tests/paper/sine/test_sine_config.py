"""The hyper-parameters of the sine waves: Config's machinery with other fields and defaults."""

from __future__ import annotations

import dataclasses
import json

import click
import pytest

from supervised_reptile.cli.sine import sine
from supervised_reptile.config import RESUMED, Config, config_from_flags, fill_from, flag_of
from supervised_reptile.flags import flags
from supervised_reptile.paper.sine.config import SineConfig

OTHER = SineConfig(
    shots=7, sgd=False, activation="relu", compare=False, amplitude_max=2.5, outer_steps=10,
    replacement=True, tail_shots=None, train_shots=30, checkpoint="elsewhere",
)  # fmt: skip


def parsed(words: list[str]) -> SineConfig:
    values = dict(sine.make_context("sine", words).params)
    for name in ("foml", "resume", "overwrite"):
        values.pop(name)
    return config_from_flags(values, set(), SineConfig)


def test_defaults_of_flags_are_those_of_the_configuration() -> None:
    assert parsed([]) == SineConfig()


def test_the_published_setting() -> None:
    names = (
        "outer_steps meta_batch inner_steps inner_batch inner_rate outer_step_size "
        "outer_step_size_final sgd train_shots shots eval_steps activation hidden_units "
        "hidden_layers amplitude_min amplitude_max x_min x_max"
    )
    values = [getattr(SineConfig(), name) for name in names.split()]
    assert values == [
        30_000, 1, 5, 10, 0.02, 0.1, 0, True, 50, 10, 32, "tanh", 64, 2, 0.1, 5, -5, 5,
    ]  # fmt: skip
    assert SineConfig().phase_max == pytest.approx(6.283185307)


def test_a_command_line_is_made_and_read_again() -> None:
    words = flags(OTHER)
    assert "--adam" in words
    assert "--no-compare" in words
    assert parsed(words) == OTHER


def test_json_round_trip() -> None:
    assert SineConfig.from_json(OTHER.to_json()) == OTHER
    with pytest.raises(ValueError, match="does not know activation"):
        Config.from_json(OTHER.to_json())


def test_what_is_stored_fills_what_nobody_gave() -> None:
    filled = fill_from(OTHER, SineConfig(shots=9), {"shots"}, RESUMED)
    assert (filled.shots, filled.activation, filled.compare) == (9, "relu", False)


def test_every_field_has_a_flag_and_a_role() -> None:
    for field in dataclasses.fields(SineConfig):
        assert flag_of(field.name, SineConfig).startswith("--")
        assert field.metadata["role"]
    assert json.loads(SineConfig().to_json()).keys() > json.loads(Config().to_json()).keys()


@pytest.mark.parametrize("words", [["--learning-rate", "nan"], ["--x-max", "inf"]])
def test_numbers_are_finite(words: list[str]) -> None:
    with pytest.raises(click.BadParameter, match="not a finite number"):
        sine.make_context("sine", words)
