"""Any image file to pixels, or a reason in words."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from made_images import encoded, picture
from PIL import Image

from supervised_reptile.data.decode_parallel import decode_into
from supervised_reptile.data.layouts.decode_image import (
    STRETCHED_LEVELS,
    PixelForm,
    decode,
    left_out_reason,
)
from supervised_reptile.data.layouts.layout import NO_FORMAT, BrokenImage
from supervised_reptile.system.thread_pool import map_ahead

COLOUR, GREY = PixelForm(16, 3), PixelForm(16, 1)


def flat(mode: str, value: object, size: tuple[int, int] = (16, 16)) -> Image.Image:
    return Image.new(mode, size, value)


def grey16(value: int) -> bytes:
    return encoded(Image.fromarray(np.full((16, 16), value, np.uint16)), "PNG")


RED_P = flat("RGB", "red").quantize(2)
KINDS = {
    "RGB JPEG": (encoded(flat("RGB", (200, 30, 40)), quality=95), (200, 30, 40), 3),
    "grey JPEG": (encoded(flat("L", 77)), (77, 77, 77), 1),
    "CMYK JPEG": (encoded(flat("CMYK", (0, 255, 255, 0))), (255, 0, 0), 3),
    "transparent PNG": (encoded(flat("RGBA", (0, 0, 0, 0)), "PNG"), (255, 255, 255), 0),
    "half transparent PNG": (encoded(flat("RGBA", (0, 0, 0, 127)), "PNG"), (128, 128, 128), 1),
    "grey with alpha": (encoded(flat("LA", (10, 255)), "PNG"), (10, 10, 10), 0),
    "palette PNG": (encoded(RED_P, "PNG"), (255, 0, 0), 0),
    "palette with a transparent colour": (
        encoded(RED_P, "PNG", transparency=RED_P.getpixel((0, 0))),
        (255, 255, 255),
        0,
    ),
    "one bit": (encoded(flat("1", 1), "PNG"), (255, 255, 255), 0),
    "16 bit black": (grey16(0), (0, 0, 0), 0),
    "16 bit grey": (grey16(32768), (128, 128, 128), 0),
    "16 bit white": (grey16(65535), (255, 255, 255), 0),
    "animated GIF": (
        encoded(flat("RGB", "blue"), "GIF", save_all=True, append_images=[flat("RGB", "red")] * 2),
        (0, 0, 255),
        0,
    ),
    "BMP": (encoded(flat("RGB", "lime"), "BMP"), (0, 255, 0), 0),
    "TIFF": (encoded(flat("RGB", "lime"), "TIFF"), (0, 255, 0), 0),
    "WebP": (encoded(flat("RGB", "lime"), "WEBP", lossless=True), (0, 255, 0), 0),
    "another size": (encoded(flat("RGB", "lime", (40, 9)), "PNG"), (0, 255, 0), 0),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("from_file", [False, True])
def test_kinds_of_image(kind: str, from_file: bool, tmp_path: Path) -> None:
    data, colour, tolerance = KINDS[kind]
    content: bytes | Path = data
    if from_file:
        content = tmp_path / "x"
        content.write_bytes(data)
    pixels = decode(content, COLOUR)[0]
    assert pixels.shape == (16, 16, 3)
    assert np.abs(pixels.astype(int) - colour).max() <= tolerance
    assert decode(content, GREY)[0].shape == (16, 16, 1)


def shape(*levels: int, kind: type = np.uint8) -> np.ndarray:
    """Stripes of the levels, [16, 16]."""
    return np.repeat(np.array(levels, kind), -(-16 // len(levels)))[None, :16].repeat(16, axis=0)


@pytest.mark.parametrize(
    ("stored", "wanted"),
    [
        (shape(0, 1), (0, 255)),  # a mask
        (shape(0, 2), (0, 2)),  # a dark photograph
        (shape(0, 255, kind=np.uint16), (0, 255)),
        (shape(0, 1023, kind=np.uint16), (0, 255)),
        (shape(0, 1000, kind=np.uint16), (0, 249)),
        (shape(0, 4095, kind=np.uint16), (0, 255)),
        (shape(0, 4112, kind=np.uint16), (0, 16)),
        (shape(0, 1, kind=np.int32), (0, 255)),
        (shape(0, 1, kind=np.float32), (0, 255)),
        (shape(0, 1, kind=np.float32) / 10, (0, 26)),
    ],
)
def test_levels_that_cannot_have_been_meant(
    stored: np.ndarray, wanted: tuple[int, int], tmp_path: Path
) -> None:
    Image.fromarray(stored).save(tmp_path / "x.tif")
    np.testing.assert_array_equal(decode(tmp_path / "x.tif", GREY)[0][:, :, 0], shape(*wanted))


def test_ordinary_levels_are_pillows() -> None:
    for seed in range(20):
        image = picture(seed, (16, 16)).point(lambda level, top=seed: level * (top + 2) // 40)
        assert np.array_equal(decode(encoded(image, "PNG"), COLOUR)[0], np.asarray(image))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation(orientation: int) -> None:
    upright = picture(3, (16, 16))
    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,  # the camera's picture needs 270 degrees to be upright
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(turns[orientation]) if orientation in turns else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = decode(encoded(stored, "PNG", exif=exif), COLOUR)[0]
    assert np.array_equal(pixels, np.asarray(upright))


def test_unreadable_exif_does_not_make_an_image_unreadable() -> None:
    data = encoded(flat("RGB", "lime"), quality=95, exif=b"Exif\0\0 this is no TIFF header")
    assert decode(data, COLOUR)[0].shape == (16, 16, 3)


def test_pixels_are_taken_as_they_are() -> None:
    array = np.asarray(picture(1, (16, 16)))
    assert np.array_equal(decode(array, COLOUR)[0], array)


def bomb(width: int, height: int) -> bytes:
    """A PNG whose header alone claims the size."""
    data = bytearray(encoded(flat("1", 0), "PNG"))
    data[16:24] = struct.pack(">II", width, height)
    import zlib

    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


JPEG = encoded(picture(5, (64, 64)))


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "it is empty"),
        (b"  <!DOCTYPE HTML><title>404</title>", "HTML page"),
        (b"\xef\xbb\xbf<html>", "HTML page"),
        (JPEG[:-100], "truncated"),
        (JPEG[:300], "cannot be decoded"),
        (JPEG[:20], "not an image of any format"),
        (b"some text", "not an image of any format"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image of any format"),
        (bomb(10_000, 10_000), "100,000,000 pixels exceed Pillow's decompression-bomb limit"),
        (bomb(60_000, 60_000), "decompression bomb"),
        (encoded(flat("F", -0.5), "TIFF"), "not within 0 and 65,535"),
        (encoded(flat("I", 70_000), "TIFF"), "not within 0 and 65,535"),
    ],
)
def test_reasons(data: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "x.jpg"
    path.write_bytes(data)
    for content in (data, path):
        with pytest.raises(BrokenImage, match=reason) as caught:
            decode(content, COLOUR)[0]
        assert "<" not in str(caught.value)  # no object at 0x7f...


def test_a_file_that_vanished_is_a_reason(tmp_path: Path) -> None:
    with pytest.raises(BrokenImage, match="No such file"):
        decode(tmp_path / "gone.jpg", COLOUR)[0]


def test_eps_never_reaches_ghostscript(monkeypatch) -> None:
    from PIL import EpsImagePlugin

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_: pytest.fail("ran Ghostscript"))
    buffer = io.BytesIO()
    flat("RGB", "red").save(buffer, "EPS")
    with pytest.raises(BrokenImage, match="not an image of any format"):
        decode(buffer.getvalue(), COLOUR)[0]


@pytest.mark.parametrize("name", ["a.JPEG", "a.webp", "b/c.PNG", "a"])
def test_what_is_read_as_an_image(name: str) -> None:
    assert left_out_reason(name, lambda: encoded(flat("RGB", "red"))) is None


@pytest.mark.parametrize(
    "name", ["a.txt", "notes.pdf", "film.mpg", "a.h5", "a.eps", "README", "License", "words"]
)
def test_what_is_left_out(name: str) -> None:
    assert left_out_reason(name, lambda: b"some words") == NO_FORMAT


def test_many_images_and_their_reasons() -> None:
    contents = [(row, np.full((16, 16, 3), row % 251, np.uint8)) for row in range(1000)]
    contents[7] = (7, b"")
    contents[995] = (995, BrokenImage("it is gone"))
    pixels = np.zeros((1000, 16, 16, 3), np.uint8)
    levels = np.zeros((16, 16, 3), np.uint8)
    levels[:8] = 1
    contents[500] = (500, levels)
    broken, changed = decode_into(pixels, reversed(contents), COLOUR)
    assert changed == {500: (STRETCHED_LEVELS,)}
    assert broken == {7: "it is empty", 995: "it is gone"}
    good = [row for row in range(1000) if row not in {*broken, *changed}]
    assert np.array_equal(pixels[good, 5, 5, 1], np.array(good) % 251)


def test_inputs_are_taken_only_a_little_ahead() -> None:
    from concurrent.futures import ThreadPoolExecutor

    taken = []
    with ThreadPoolExecutor(2) as pool:
        results = map_ahead(pool, lambda x: x * 2, (taken.append(n) or n for n in range(100_000)))
        assert next(results) == 0
        assert len(taken) < 10_000
        results.close()
