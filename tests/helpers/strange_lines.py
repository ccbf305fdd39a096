"""Command lines that nobody planned, drawn by Hypothesis from what click knows of the commands.

They are made of the commands' own parameters: a command or flag that is new is among them at once.
Words are meant for a folder as `strange_folder` makes it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import click
from command_line import ROOT, flags, script
from hypothesis import strategies as st
from strange_folder import PLACES

from supervised_reptile.cli.main import reptile
from supervised_reptile.cli.run_command import RunCommand
from supervised_reptile.config import flag_of
from supervised_reptile.paper.sine.config import SineConfig

Words = Sequence[str]

# A run directory or output that cannot be written: what is sound but for that stops there, after
# everything was read and checked and before anything takes long.
NOWHERE = "text.txt/below.png"
NUMBERS = (
    "0", "1", "-1", "2", "3", "1.5", "-0.5", "1e-3", "nan", "-nan", "inf", "-inf", "1e400", "1e30",
    str(2**31 - 1), str(2**31), str(2**63 - 1), str(2**64), "9" * 400, "9" * 5000, "0x10", "1_000",
    "٣", "½", "+1", " 1", "1,5", "1,2,3", "0.5,0.25,0.25", "nan,nan,nan", "1,1", ",", "1;2",
)  # fmt: skip
TEXTS = (
    "", " ", "-", "five", "true", "None", "*", "%s", "{0}", "$(id)", "'", '"', "new\nline", "a\tb",
    "\x1b[2J", "\u202e", "\r", "é", "日本語", "🙂", "not utf-8 \udcff", "a" * 300, "--shots", "-x",
)  # fmt: skip
STRAY = (["--"], ["stray"], ["--no-such-flag"], ["-q"], ["--shot", "5"], ["-5"], [""], ["--", "-h"],
         ["---"], ["-"], ["--=5"], ["new\nline"], ["--not utf-8 \udcff"])  # fmt: skip


class Program(NamedTuple):
    """What people start."""

    name: str  # all that they type
    command: click.Command  # what they start
    words: tuple[str, ...]  # what they type next, to come to `target`
    target: click.Command


def programs() -> dict[str, Program]:
    """The scripts, `reptile`, and everything below it, by their names."""
    scripts = {path.name: script(path).main for path in sorted(ROOT.glob("run_*.py"))}
    found = [Program(name, command, (), command) for name, command in scripts.items()]
    for words, command in _below(reptile, ()):
        found.append(Program(" ".join(("reptile", *words)), reptile, words, command))
    return {program.name: program for program in found}


def _below(
    command: click.Command, words: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield words, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            yield from _below(command.get_command(context, name), (*words, name))


def lines(program: Program) -> st.SearchStrategy[list[str]]:
    """Lines of every kind, none of which takes long: the last flags stop what would."""
    command, stop = program.target, stopping(program.target)
    return st.one_of(
        sound_lines(command), sound_lines(command), strange_lines(command), wild_lines(command)
    ).map(lambda words: [*program.words, *small(command), *words, *stop])


def small(command: click.Command) -> Words:
    """Flags, said first, without which nothing fits the small data in the folder."""
    if isinstance(command, RunCommand) and command.source.config is not SineConfig:
        return flags(
            classes=2, shots=1, train_shots=1, inner_batch=2, inner_iters=2, meta_iters=2,
            eval_batch=2, eval_iters=2, eval_samples=2,
        )  # fmt: skip
    return ()


def stopping(command: click.Command) -> Words:
    """Flags, said last, with which a sound line ends before it takes long."""
    names = {name for option in options_of(command) for name in option.opts}
    if isinstance(command, RunCommand):
        return [flag_of("checkpoint", command.source.config), NOWHERE]
    if command.name == "predict":
        return ["--query", "nowhere"]
    if command.name == "demo":
        return ["--checkpoint", "nowhere"]
    if command.name == "sweep":
        return ["--out", NOWHERE, "--data-dir", "nowhere"]
    return ["--out", NOWHERE] if "--out" in names else ()


def working_lines(program: Program) -> st.SearchStrategy[list[str]]:
    """Lines that do what the program is for, on little and in few forms."""
    first = [*program.words, *small(program.target), *WORK[program.name]]
    few = {**FEW, **OWN.get(program.name, {})}
    return sound_lines(program.target, few).map(lambda words: [*first, *words])


# What a program is for, said first.
WORK: Mapping[str, Words] = {
    "run_omniglot.py": flags(data_dir="alphabets", checkpoint="new"),
    "run_miniimagenet.py": flags(data_dir="mini", checkpoint="new"),
    "reptile train": flags(checkpoint="new", image_size=8),
    "reptile sine": flags(
        out="new", points=6, shots=2, inner_batch=2, inner_iters=2, meta_iters=3, eval_batch=2,
        eval_iters=2, eval_samples=3, hidden_units=8, no_compare=True,
    ),
    "reptile predict": (),
    "reptile export": flags(checkpoint="weights.npz", format="npz"),
    "reptile plot": flags(out="new.png"),
    "reptile compare": (),
    "reptile report": flags(out="new"),
    "reptile data glyphs": flags(out="new", alphabets=1, characters=2, drawings=2),
    "reptile data import": flags(image_size=8),
    "reptile data verify": (),
    "reptile data info": (),
}  # fmt: skip
# Values of parameters there: few, because TensorFlow compiles anew for each; none: leave it out.
FEW: Mapping[str, Words] = {
    "way": ["2"], "shots": ["1"], "train_shots": ["1", "2"], "inner_batch": ["1", "2"],
    "inner_steps": ["1", "2"], "meta_batch": ["1", "2"], "outer_steps": ["1", "3"],
    "eval_batch": ["1", "2"], "eval_steps": ["1", "2"], "eval_episodes": ["1", "3"],
    "eval_interval": ["1", "2"], "look_episodes": ["0", "1"], "save_interval": ["1", "2"],
    "val_classes": ["0", "2"], "tail_shots": ["1"], "threads": ["0", "1"], "pretrained": [],
    "resume": [], "image_size": ["8"], "split": ["0.4,0.2,0.4"], "data_dir": ["alphabets"],
    "checkpoint": ["new"], "out": ["new", "new/below"], "contact_sheet": ["new.png"],
    "runs": ["run", "other run", "not utf-8 \udcff"], "folders": ["run", "results", "alphabets"],
    "support": ["support"], "queries": ["photos/one"], "more": ["photos/two/0.png"],
    "path": ["mini", "alphabets", "photos"], "name": ["page", "é"], "title": ["é", "<b>"],
    "steps": ["0", "2"], "alphabets": ["1"], "characters": ["1", "2"], "drawings": ["1", "2"],
}  # fmt: skip
OWN: Mapping[str, Mapping[str, Words]] = {
    "run_miniimagenet.py": {"data_dir": ["mini"]},
    "reptile train": {"data_dir": ["photos", "mini"]},
    "reptile sine": {
        "shots": ["2"], "train_shots": ["6"], "hidden_units": ["1", "8"], "tail_shots": ["1", "2"],
        "hidden_layers": ["1", "2"], "compare": [], "x_min": ["-5", "0"], "phase_max": ["0", "1"],
        "amplitude_min": ["0", "1"], "amplitude_max": ["1", "5"], "x_max": ["1", "5"],
    },
    "reptile predict": {"checkpoint": ["weights.npz"]},
    "reptile export": {"checkpoint": ["weights.npz"], "form": ["npz", "web"]},
    "reptile plot": {"out": ["new.svg", "new/below.pdf"]},
    "reptile data import": {"path": ["mini"]},
    "reptile compare": {"shots": ["5"], "modes": ["transductive"], "splits": ["test"]},
}  # fmt: skip


def sound_lines(
    command: click.Command, few: Mapping[str, Words] | None = None
) -> st.SearchStrategy[list[str]]:
    """Lines that the parser takes. few: the only values of some parameters, by their names."""

    @st.composite
    def line(draw: st.DrawFn) -> list[str]:
        chosen = draw(some_options(command, few))
        pieces = [draw(sound_option(option, few)) for option in chosen]
        for argument in arguments_of(command):
            count = draw(st.integers(1, 2)) if argument.nargs == -1 else argument.nargs
            pieces += [[draw(sound_value(argument, few))] for _ in range(count)]
        return [word for piece in draw(st.permutations(pieces)) for word in piece]

    return line()


def strange_lines(command: click.Command) -> st.SearchStrategy[list[str]]:
    """Lines with one thing in them that is odd."""
    odd = strays() | st.sampled_from(options_of(command)).flatmap(strange_option)
    odd |= odd_value().map(lambda value: [value])
    return st.tuples(sound_lines(command), odd, st.booleans()).map(
        lambda parts: [*parts[1], *parts[0]] if parts[2] else [*parts[0], *parts[1]]
    )


def wild_lines(command: click.Command) -> st.SearchStrategy[list[str]]:
    """Lines with nothing in them that is as it should be."""
    options = st.sampled_from(options_of(command))
    piece = options.flatmap(strange_option) | odd_value().map(lambda v: [v]) | strays()
    return st.lists(piece, max_size=6).map(lambda pieces: [w for piece in pieces for w in piece])


def options_of(command: click.Command) -> list[click.Option]:
    """The command's flags, --help among them."""
    parameters = command.get_params(click.Context(command))
    return [parameter for parameter in parameters if isinstance(parameter, click.Option)]


def arguments_of(command: click.Command) -> list[click.Argument]:
    """What the command takes without a flag."""
    return [parameter for parameter in command.params if isinstance(parameter, click.Argument)]


def some_options(
    command: click.Command, few: Mapping[str, Words] | None = None
) -> st.SearchStrategy[list[click.Option]]:
    """A few of the flags, the required ones nearly always; now and then one of them twice."""
    options = [option for option in options_of(command) if "--help" not in option.opts]
    options = [option for option in options if few is None or few.get(option.name, "any")]
    required = [option for option in options if option.required]
    if not options:
        return st.just([])
    with_required = st.sampled_from([required] * 9 + [[]])
    few = st.lists(st.sampled_from(options), max_size=5)
    return st.tuples(with_required, few).map(lambda parts: [*parts[0], *parts[1]])


def sound_option(
    option: click.Option, few: Mapping[str, Words] | None = None
) -> st.SearchStrategy[list[str]]:
    """A flag with a value that it takes."""
    names = st.sampled_from([*option.opts, *option.secondary_opts])
    if option.is_flag or option.count:
        return names.map(lambda name: [name])
    pairs = st.tuples(names, sound_value(option, few), st.booleans())
    return pairs.map(lambda p: [f"{p[0]}={p[1]}"] if p[2] and p[0][1] == "-" else [*p[:2]])


def strange_option(option: click.Option) -> st.SearchStrategy[list[str]]:
    """A flag with a wrong value or none, or nearly a flag."""
    name = st.sampled_from([*option.opts, *option.secondary_opts])
    nearly = name.flatmap(
        lambda n: st.sampled_from([n[:-2], n.upper(), f"{n}x", n[1:], f"{n}=", n.replace("-", "_")])
    )
    value = sound_value(option)
    return st.one_of(
        st.tuples(name, odd_value()).map(list),
        st.tuples(name, odd_value()).map(lambda pair: ["=".join(pair)]),
        st.tuples(nearly, value).map(list),
        name.map(lambda n: [n]),
    )


def sound_value(
    parameter: click.Parameter, few: Mapping[str, Words] | None = None
) -> st.SearchStrategy[str]:
    """A value that the parameter's type takes; of numbers also those at the edge."""
    if few and parameter.name in few:
        return st.sampled_from(few[parameter.name])
    kind = parameter.type
    if isinstance(kind, click.IntRange):
        low = 0 if kind.min is None else kind.min
        edge = [] if kind.max is None or few else [kind.max]
        return st.sampled_from([low, low + 1, low + 2, *edge]).map(str)
    if isinstance(kind, click.FloatRange):
        low = 0.0 if kind.min is None else kind.min
        values = [low] * (not kind.min_open) + [math.nextafter(low, 1), low + 0.25, low + 1]
        return st.sampled_from(values).map(str)
    if isinstance(kind, click.Choice):
        return st.sampled_from(kind.choices)
    likely = LIKELY.get(parameter.name, ())
    if isinstance(kind, click.Path) or likely:
        return st.sampled_from([*likely * 4, *PLACES])
    default = parameter.default
    return st.just(default) if isinstance(default, str) else odd_value()


# What of the folder a parameter is likely to want.
LIKELY: Mapping[str, tuple[str, ...]] = {
    "data_dir": ("alphabets", "mini"),
    "omniglot": ("alphabets",),
    "miniimagenet": ("mini",),
    "path": ("alphabets", "mini", "photos"),
    "checkpoint": ("weights.npz", "run"),
    "pretrained": ("checkpoint", "weights.npz", "omniglot-5way"),
    "runs": ("run", "other run"),
    "folders": ("run", "results"),
    "support": ("support",),
    "queries": ("photos/one", "photos/one/1.png"),
    "more": ("photos/two",),
    "space": ("space.toml",),
    "out": ("new", "new.png"),
}


def odd_value() -> st.SearchStrategy[str]:
    """A value that few parameters take."""
    # No null character: it cannot be in a command line. Neither of these: nothing is to be written
    # outside of the folder.
    letters = st.characters(exclude_characters="\0/.", codec="utf8")
    return st.one_of(
        st.sampled_from(NUMBERS),
        st.sampled_from(TEXTS),
        st.sampled_from(PLACES),
        st.text(letters, max_size=6),
        st.integers().map(str),
        st.floats().map(str),
    )


def strays() -> st.SearchStrategy[list[str]]:
    """What belongs to no flag."""
    return st.sampled_from(STRAY).map(list)
