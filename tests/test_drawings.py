"""Pictures of all kinds reach the network as it knows them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from command_line import real_omniglot
from PIL import Image, ImageDraw, ImageOps

from supervised_reptile.data.decode import PixelForm, decode
from supervised_reptile.data.omniglot import decode_drawing, sorted_drawings
from supervised_reptile.drawings import read_drawing
from supervised_reptile.errors import UserError
from supervised_reptile.pictures import Reader, read_picture, read_pictures

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


def test_nothing_drawn_is_white_paper() -> None:
    for shade in (0, 128, 255):
        drawing = read_drawing(Image.new("L", (40, 40), shade), (28, 28))
        assert drawing.pixels.shape == (28, 28, 1)
        assert (drawing.pixels == 1).all()
        assert not drawing.inverted
    noise = np.random.default_rng(0).integers(120, 126, (40, 40)).astype(np.uint8)
    assert (read_drawing(Image.fromarray(noise), (28, 28)).pixels == 1).all()


def test_omniglots_own_drawings_stay_as_they_are() -> None:
    for drawing in sorted_drawings(real_omniglot())[::300]:
        data = drawing.read()
        picture = read_picture(Image.open(io.BytesIO(data)), DRAWINGS)
        np.testing.assert_array_equal(picture.pixels, decode_drawing(data))
        assert picture.changes == ("brought to {height}x{width} pixels",)


@pytest.mark.parametrize("reader", [COLOUR, GREY])
def test_other_weights_read_as_training_does(reader: Reader, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (30, 20, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    read, notes = read_pictures([tmp_path / "photo.png"], reader)
    form = PixelForm(16, reader.shape[2])
    wanted = decode(tmp_path / "photo.png", form).astype(np.float32) / 255
    np.testing.assert_array_equal(read[0], wanted)
    assert "1 of 1 pictures was brought to 16x16 pixels" in notes
    assert "1 of 1 pictures was stretched to the weights' proportions" in notes


def test_a_file_that_is_no_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / "page.png").write_text("<!doctype html><p>not found")
    with pytest.raises(UserError, match=r"page\.png: it is an HTML page"):
        read_pictures([tmp_path / "page.png"], DRAWINGS)
    noise, whole = np.random.default_rng(0).integers(0, 256, (60, 60), np.uint8), io.BytesIO()
    Image.fromarray(noise).save(whole, "PNG")
    (tmp_path / "half.png").write_bytes(whole.getvalue()[:2000])
    with pytest.raises(UserError, match=r"half\.png: it cannot be decoded"):
        read_pictures([tmp_path / "half.png"], DRAWINGS)
