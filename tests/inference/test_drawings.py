"""Pictures of all kinds reach the network as it knows them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from command_line import real_omniglot
from PIL import Image, ImageDraw, ImageOps

from supervised_reptile.data.layouts.decode_image import PixelForm, decode
from supervised_reptile.data.omniglot import decode_drawing, sorted_drawings
from supervised_reptile.errors import UserError
from supervised_reptile.inference import pictures
from supervised_reptile.inference.pictures import (
    LEVELS,
    Reader,
    change_notes,
    read_picture,
    read_pictures,
)

DRAWINGS, COLOUR, GREY = (
    Reader((28, 28, 1), True),
    Reader((16, 16, 3), False),
    Reader((16, 16, 1), False),
)


def letter(side: int = 105, paper: int = 255, ink: int = 0) -> Image.Image:
    """An L of strokes a twentieth of the side wide, mode L."""
    image = Image.new("L", (side, side), paper)
    unit = side // 20
    ImageDraw.Draw(image).line(
        (6 * unit, 3 * unit, 6 * unit, 15 * unit, 14 * unit, 15 * unit), ink, unit
    )
    return image


def changes(picture: Image.Image, reader: Reader = DRAWINGS) -> tuple[str, ...]:
    return read_picture(picture, reader).changes


def wanted() -> np.ndarray:
    return read_picture(letter().convert("1"), DRAWINGS).pixels


def jpeg(image: Image.Image) -> Image.Image:
    data = io.BytesIO()
    image.convert("RGB").save(data, "JPEG", quality=85)
    return Image.open(data)


VARIANTS = {
    "grey": letter(paper=180, ink=60),
    "light on dark": letter(paper=0, ink=255),
    "light on dark, faint": letter(paper=30, ink=90),
    "dark on dark": letter(paper=100, ink=10),
    "four times as large": letter(420),
    "JPEG": jpeg(letter(420)),
    "colour": ImageOps.colorize(letter(), (20, 40, 120), (250, 240, 210)),
    "more paper above and below": ImageOps.expand(letter(), (0, 30), 255).crop((0, 0, 105, 165)),
}


@pytest.mark.parametrize("kind", VARIANTS)
def test_a_drawing_is_the_same_in_any_form(kind: str) -> None:
    pixels = read_picture(VARIANTS[kind], DRAWINGS).pixels
    assert pixels.shape == (28, 28, 1)
    assert pixels.dtype == np.float32
    assert pixels.min() == 0
    assert pixels.max() == 1
    if kind != "more paper above and below":  # there it is smaller
        assert np.abs(pixels - wanted()).mean() < 0.06


def test_changes_are_told() -> None:
    assert changes(letter(28).convert("1")) == ()
    assert changes(letter()) == ("brought to {height}x{width} pixels",)
    assert "turned dark on light" in changes(VARIANTS["light on dark"])
    assert "read in grey" in changes(VARIANTS["colour"])
    assert "given more paper, to be square" in changes(VARIANTS["more paper above and below"])
    assert not {"turned dark on light", "read in grey"} & set(changes(VARIANTS["JPEG"]))


def levels(ink: object, paper: object, kind: type = np.uint8) -> Image.Image:
    """The letter in two levels, of a number each or one for each band."""
    inked = np.asarray(letter()) == 0
    return Image.fromarray(np.array([paper, ink], kind)[inked.astype(int)])


def palette() -> Image.Image:
    image = levels(1, 0).convert("P")
    image.putpalette([0, 0, 0, 1, 1, 1])
    return image


TWO_LEVELS = {
    "0 and 1": levels(0, 1),
    "1 and 0": levels(1, 0),
    "0 and 1 in colour": levels((0, 0, 1), (0, 0, 0)),
    "0 and 1 in a palette": palette(),
    "0 and 1 in 16 bits": levels(0, 1, np.uint16),
    "0 and 1 in 32 bits": levels(0, 1, np.int32),
    "0 and 1 in floats": levels(0, 1, np.float32),
    "0 to 255 in floats": levels(0, 255, np.float32),
    "8 bits in 16": levels(10, 240, np.uint16),
    "10 bits in 16": levels(30, 1000, np.uint16),
    "12 bits in 16": levels(100, 4000, np.uint16),
    "16 bits": levels(20_000, 60_000, np.uint16),
    "three levels apart": levels(100, 103),
    "faint on white": levels(250, 255),
    "as bright as its paper": levels((255, 0, 0), (0, 130, 0)),
    "black ink on nothing": levels((0, 0, 0, 255), (0, 0, 0, 0)),
    "white ink on nothing": levels((255, 255, 255, 255), (255, 255, 255, 0)),
    "transparency of 0 and 1": levels((255, 255, 255, 1), (255, 255, 255, 0)),
    "grey with transparency": levels((0, 255), (0, 0)),
    "one bit": letter().convert("1"),
    "CMYK": letter().convert("CMYK"),
}


AS_USUAL = {
    "0 and 1 in floats", "black ink on nothing", "grey with transparency", "one bit", "CMYK",
}  # fmt: skip


@pytest.mark.parametrize("kind", TWO_LEVELS)
@pytest.mark.parametrize("side", [105, 300])
def test_a_drawing_is_identical_in_any_two_levels(kind: str, side: int) -> None:
    size, nearest = (side, side), Image.Resampling.NEAREST
    wanted = read_picture(letter().resize(size, nearest), DRAWINGS)
    found = read_picture(TWO_LEVELS[kind].resize(size, nearest), DRAWINGS)
    np.testing.assert_array_equal(found.pixels, wanted.pixels)
    assert 0 < wanted.pixels.mean() < 1
    told = {*LEVELS, "read in grey"}
    assert bool(told & set(found.changes)) == (kind not in AS_USUAL)


def test_a_faint_drawing_with_greys_is_stretched() -> None:
    faint = Image.fromarray((100 + np.asarray(letter(420).resize((105, 105))) / 32).astype("uint8"))
    pixels = read_picture(faint, DRAWINGS).pixels
    assert pixels.min() == 0
    assert np.abs(pixels - wanted()).mean() < 0.06


def test_thin_strokes_of_a_large_drawing_are_kept() -> None:
    large = Image.new("L", (1000, 1000), 255)
    ImageDraw.Draw(large).line((303, 200, 303, 800, 700, 800), 0, 3)
    pixels = read_picture(large, DRAWINGS).pixels[:, :, 0]
    assert (pixels[6:22, 8] < 0.5).all()
    assert (pixels[22, 9:19] < 0.5).all()


def blank_pictures() -> dict[str, Image.Image]:
    chance = np.random.default_rng(0)

    def noise(low: int, high: int, side: int = 105) -> Image.Image:
        return Image.fromarray(chance.integers(low, high, (side, side)).astype(np.uint8))

    gradient = np.linspace(240, 250, 105).astype(np.uint8)[None].repeat(105, axis=0)
    return {
        "black": Image.new("L", (40, 40), 0),
        "ones": Image.new("L", (40, 40), 1),
        "grey": Image.new("L", (40, 40), 128),
        "white": Image.new("RGB", (40, 40), "white"),
        "red": Image.new("RGB", (40, 50), "red"),
        "transparent": Image.new("RGBA", (40, 40), (0, 0, 0, 0)),
        "half transparent": Image.new("RGBA", (40, 40), (0, 0, 0, 128)),
        "16 bits": Image.fromarray(np.full((40, 40), 300, np.uint16)),
        "floats": Image.new("F", (40, 40), 0.3),
        "noise": noise(120, 126, 28),
        "noise of 0 and 1": noise(0, 2),
        "noise on white": noise(246, 256),
        "JPEG's": jpeg(noise(247, 253)),
        "gradient": Image.fromarray(gradient),
    }


@pytest.mark.parametrize("reader", [DRAWINGS, COLOUR, GREY])
def test_what_shows_nothing_is_named(reader: Reader, tmp_path: Path) -> None:
    blank = blank_pictures()
    pixels, _ = read_pictures([*blank.values(), letter()], reader)
    found = pictures.blank_pictures(pixels, [*map(Path, blank), Path("letter")])
    assert found.rows.tolist() == [True] * len(blank) + [False]
    assert found.note == f"{len(blank)} of {len(blank) + 1} pictures show nothing: " + (
        f"black, ones, grey and {len(blank) - 3} more"
    )
    assert not pictures.blank_pictures(pixels[-1:], ["letter"]).note
    if reader.drawings:
        assert (pixels[:-1] == 1).all()


def test_a_dark_photograph_stays_dark() -> None:
    dark = np.random.default_rng(0).integers(0, 30, (16, 16, 3)).astype(np.uint8)
    read = read_picture(Image.fromarray(dark), COLOUR)
    np.testing.assert_array_equal(np.rint(read.pixels * 255), dark)
    assert read.changes == ()


def test_omniglots_own_drawings_stay_as_they_are() -> None:
    for data in sorted_drawings(real_omniglot())[::300]:
        picture = read_picture(Image.open(io.BytesIO(data)), DRAWINGS)
        np.testing.assert_array_equal(picture.pixels, decode_drawing(data)[0])
        assert picture.changes == ("brought to {height}x{width} pixels",)


@pytest.mark.parametrize("reader", [COLOUR, GREY])
def test_other_weights_read_as_training_does(reader: Reader, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (30, 20, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    read, changes = read_pictures([tmp_path / "photo.png"], reader)
    notes = change_notes(changes, reader)
    form = PixelForm(16, reader.shape[2])
    wanted = decode(tmp_path / "photo.png", form)[0].astype(np.float32) / 255
    np.testing.assert_array_equal(read[0], wanted)
    assert "1 of 1 picture was brought to 16x16 pixels" in notes
    assert "1 of 1 picture was stretched to the weights' proportions" in notes


def test_a_file_that_is_no_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / "page.png").write_text("<!doctype html><p>not found")
    with pytest.raises(UserError, match=r"page\.png: it is an HTML page"):
        read_pictures([tmp_path / "page.png"], DRAWINGS)
    noise, whole = np.random.default_rng(0).integers(0, 256, (60, 60), np.uint8), io.BytesIO()
    Image.fromarray(noise).save(whole, "PNG")
    (tmp_path / "half.png").write_bytes(whole.getvalue()[:2000])
    with pytest.raises(UserError, match=r"half\.png: it cannot be decoded"):
        read_pictures([tmp_path / "half.png"], DRAWINGS)
