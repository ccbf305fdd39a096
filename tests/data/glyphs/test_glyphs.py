"""Drawn alphabets on disk: layout, images, determinism, likeness, atomicity, refusals."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from supervised_reptile.cli.data import draw_glyphs
from supervised_reptile.cli.main import reptile, run
from supervised_reptile.data.glyphs import draw_alphabets as glyphs_module
from supervised_reptile.data.glyphs.draw_alphabets import GlyphSet, invent_alphabets, write_glyphs
from supervised_reptile.data.glyphs.drawing import IDEAL, draw
from supervised_reptile.data.glyphs.random_draws import Chance
from supervised_reptile.data.omniglot import open_omniglot_store
from supervised_reptile.errors import UserError

SMALL = GlyphSet(seed=3, alphabets=2, characters=6, drawings=5)
TINY = GlyphSet(seed=3, alphabets=1, characters=2, drawings=2)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("drawn") / "glyphs"
    write_glyphs(out, SMALL, workers=1)
    return out


def images_of(out: Path) -> dict[str, np.ndarray]:
    """Path below `out` -> the image, bool [105, 105]."""
    return {
        path.relative_to(out).as_posix(): np.asarray(Image.open(path))
        for path in sorted(out.glob("*/*/*.png"))
    }


def same(first: Path, second: Path) -> bool:
    one, other = images_of(first), images_of(second)
    return one.keys() == other.keys() and all(np.array_equal(one[k], other[k]) for k in one)


def ink_by_character(glyphs: GlyphSet, tmp_path: Path) -> np.ndarray:
    """Ink, float32 [characters, drawings, 105, 105]."""
    write_glyphs(tmp_path / "set", glyphs, workers=1)
    images = images_of(tmp_path / "set")
    ordered = [images[name] for name in sorted(images, key=lambda name: name.rsplit("/", 1)[1])]
    ink = 1.0 - np.array(ordered, np.float32)
    return ink.reshape(-1, glyphs.drawings, *ink.shape[1:])


def test_the_layout_is_omniglots(small: Path) -> None:
    alphabets = sorted(path.name for path in small.iterdir() if path.is_dir())
    assert len(alphabets) == 2
    assert all(name.isalpha() and name.istitle() for name in alphabets)
    assert {path.name for path in small.iterdir()} == {*alphabets, "glyphs.json"}
    numbers = []
    for alphabet in alphabets:
        characters = sorted(path.name for path in (small / alphabet).iterdir())
        assert characters == [f"character{n:02}" for n in range(1, 7)]
        for character in characters:
            files = sorted(path.name for path in (small / alphabet / character).iterdir())
            number = files[0][:4]
            assert files == [f"{number}_{drawer:02}.png" for drawer in range(1, 6)]
            numbers.append(int(number))
    assert sorted(numbers) == list(range(1, 13))


def test_images_are_one_bit_black_on_white(small: Path) -> None:
    paths = list(small.glob("*/*/*.png"))
    assert len(paths) == 60
    shares = []
    for path in paths:
        with Image.open(path) as image:
            assert (image.format, image.mode, image.size) == ("PNG", "1", (105, 105))
            paper = np.asarray(image)
        assert paper[0].all()  # the margin
        assert paper[-1].all()
        shares.append(1.0 - paper.mean())
    assert min(shares) > 0.01
    assert max(shares) < 0.3
    assert 0.04 < np.mean(shares) < 0.12  # Omniglot: 0.08


def test_the_omniglot_loader_reads_it(small: Path) -> None:
    store = open_omniglot_store(small)
    assert len(store.names) == 12
    assert set(store.counts) == {5}
    assert 0.04 < 1.0 - np.asarray(store.images).mean() < 0.15


def test_pixels_are_pinned_for_good(small: Path) -> None:
    digest = hashlib.sha256()
    for name, image in images_of(small).items():
        digest.update(name.encode() + np.packbits(image).tobytes())
    assert digest.hexdigest()[:16] == "898ca5660e633dd5"


def test_processes_change_nothing(small: Path, tmp_path: Path) -> None:
    write_glyphs(tmp_path / "glyphs", SMALL, workers=2)
    assert same(small, tmp_path / "glyphs")


def test_seeds_differ(small: Path, tmp_path: Path) -> None:
    write_glyphs(tmp_path / "glyphs", GlyphSet(4, 2, 6, 5), workers=1)
    others = [image.tobytes() for image in images_of(tmp_path / "glyphs").values()]
    assert not {image.tobytes() for image in images_of(small).values()} & set(others)


def test_a_larger_set_starts_with_the_smaller_one() -> None:
    small, large = (list(invent_alphabets(GlyphSet(0, n, 3, 1))) for n in (2, 3))
    for one, other in zip(small, large[:2], strict=True):
        assert one.name == other.name
        for mine, its in zip(one.characters, other.characters, strict=True):
            assert all(np.array_equal(a, b) for a, b in zip(mine, its, strict=True))


def test_names_of_alphabets_are_unique() -> None:
    names = [alphabet.name for alphabet in invent_alphabets(GlyphSet(0, 60, 1, 1))]
    assert len({name.lower() for name in names}) == 60


def test_no_two_characters_look_alike() -> None:
    alphabets = invent_alphabets(GlyphSet(0, 4, 15, 1))
    ink = np.array([draw(c, IDEAL, Chance(0)) for a in alphabets for c in a.characters])
    blurred = blur(ink.astype(np.float32)).reshape(len(ink), -1)
    for index, mine in enumerate(blurred):
        others = np.delete(blurred, index, axis=0)
        unlike = np.abs(others - mine).sum(1) / (others.sum(1) + mine.sum())
        assert unlike.min() > 0.15


def blur(ink: np.ndarray) -> np.ndarray:
    """[..., 105, 105] averaged over overlapping squares of 14 pixels, [..., 14, 14]."""
    cells = ink.reshape(*ink.shape[:-2], 15, 7, 15, 7).mean((-3, -1))
    rows = cells[..., :-1, :] + cells[..., 1:, :]
    return (rows[..., :-1] + rows[..., 1:]) / 4


def test_drawings_of_a_character_resemble_each_other(tmp_path: Path) -> None:
    ink = blur(ink_by_character(GlyphSet(1, 4, 5, 10), tmp_path))
    vectors = ink.reshape(*ink.shape[:2], -1)
    learnt, asked = vectors[:, :5].mean(1), vectors[:, 5:]
    distances = ((asked[:, :, None] - learnt) ** 2).sum(-1)  # [characters, drawings, characters]
    right = distances.argmin(-1) == np.arange(20)[:, None]
    assert right.mean() > 0.5  # chance is 0.05


def test_no_two_drawings_are_the_same(small: Path) -> None:
    images = images_of(small)
    assert len({image.tobytes() for image in images.values()}) == len(images)


def test_a_drawer_keeps_habits_throughout_an_alphabet(tmp_path: Path) -> None:
    ink = ink_by_character(GlyphSet(0, 1, 20, 8), tmp_path)
    heights = np.log(ink.any(-1).sum(-1))  # [characters, drawings]
    odd, even = (heights[part::2] - heights[part::2].mean(1, keepdims=True) for part in (0, 1))
    assert np.corrcoef(odd.mean(0), even.mean(0))[0, 1] > 0.7


def test_an_interruption_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt_after(20, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        write_glyphs(tmp_path / "glyphs", SMALL, workers=1)
    assert not list(tmp_path.iterdir())


def test_an_interrupted_overwrite_keeps_the_old_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_glyphs(tmp_path / "glyphs", TINY, workers=1)
    before = images_of(tmp_path / "glyphs")
    interrupt_after(20, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        write_glyphs(tmp_path / "glyphs", SMALL, overwrite=True, workers=1)
    assert images_of(tmp_path / "glyphs").keys() == before.keys()
    assert len(list(tmp_path.iterdir())) == 1


def interrupt_after(drawings: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Presses Ctrl-C when so many drawings are done."""
    left = iter(range(drawings))

    def drawn(*arguments: object) -> np.ndarray:
        if next(left, None) is None:
            raise KeyboardInterrupt
        return draw(*arguments)

    monkeypatch.setattr(glyphs_module, "draw", drawn)


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "glyphs").mkdir()
    write_glyphs(tmp_path / "glyphs", TINY, workers=1)
    assert len(images_of(tmp_path / "glyphs")) == 4


def test_an_earlier_set_is_replaced_only_when_told_to(tmp_path: Path) -> None:
    out = tmp_path / "glyphs"
    write_glyphs(out, SMALL, workers=1)
    with pytest.raises(UserError, match="--overwrite"):
        write_glyphs(out, TINY, workers=1)
    assert len(images_of(out)) == 60
    write_glyphs(out, TINY, overwrite=True, workers=1)
    assert len(images_of(out)) == 4
    assert [path.name for path in tmp_path.iterdir()] == ["glyphs"]


@pytest.mark.parametrize("mark", [None, "", "[]", "{}", '{"format": "another", "names": []}'])
@pytest.mark.parametrize("overwrite", [False, True])
def test_other_folders_are_never_replaced(
    tmp_path: Path, mark: str | None, overwrite: bool
) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    if mark is not None:
        (tmp_path / "glyphs.json").write_text(mark)
    with pytest.raises(UserError, match="--overwrite"):
        write_glyphs(tmp_path, TINY, overwrite, workers=1)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_files_that_came_beside_the_alphabets_are_safe(tmp_path: Path) -> None:
    out = tmp_path / "glyphs"
    write_glyphs(out, TINY, workers=1)
    (out / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match=r"thesis\.txt"):
        write_glyphs(out, TINY, overwrite=True, workers=1)
    assert (out / "thesis.txt").exists()


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    write_glyphs(tmp_path / "real", TINY, workers=1)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write_glyphs(tmp_path / "link", SMALL, overwrite=True, workers=1)
    assert (tmp_path / "link").is_symlink()
    assert len(images_of(tmp_path / "real")) == 60


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write there") as caught:
        write_glyphs(tmp_path / "file" / "glyphs", TINY, workers=1)
    assert "\n" not in str(caught.value)


def test_the_command_draws_and_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "deeper" / "glyphs"
    command = ["data", "glyphs", "--out", str(out), "--alphabets", "1", "--characters", "2"]
    run(reptile, [*command, "--drawings", "3"])
    assert "2 characters" in capsys.readouterr().out
    assert len(images_of(out)) == 6
    with pytest.raises(SystemExit) as stop:
        run(reptile, command)
    assert stop.value.code == 1
    assert "--overwrite" in capsys.readouterr().err
    run(reptile, [*command, "--drawings", "1", "--seed", "9", "--overwrite"])
    assert len(images_of(out)) == 2


@pytest.mark.parametrize("wrong", [("--alphabets", "0"), ("--seed", "-1"), ("--drawings", "x")])
def test_senseless_numbers_are_usage_errors(wrong: tuple[str, str]) -> None:
    with pytest.raises(SystemExit) as stop:
        run(reptile, ["data", "glyphs", *wrong])
    assert stop.value.code == 2


def test_the_defaults_leave_characters_to_test_on() -> None:
    defaults = {option.name: option.default for option in draw_glyphs.params}
    drawn = GlyphSet(*(defaults[name] for name in ("seed", "alphabets", "characters", "drawings")))
    assert drawn == GlyphSet()
    assert drawn.alphabets * drawn.characters >= 1200 + 300
    assert drawn.drawings == 20


def test_more_drawings_than_any_disk_holds(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--alphabets 1000000000 x --characters 40"):
        write_glyphs(tmp_path / "out", GlyphSet(alphabets=10**9))
