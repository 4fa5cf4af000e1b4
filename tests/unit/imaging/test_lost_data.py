"""A JPEG that lost coded data is refused however whole its end looks, and no whole stream is."""

from __future__ import annotations

import io
import os
import random
import re
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from imagecodecs import jpeg8_encode
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import UID, JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLosslessSV1
from simplejpeg import decode_jpeg

from firmware_app.core.errors import Undecodable
from firmware_app.imaging import image_file
from firmware_app.imaging.codec import codestream, jpeg
from firmware_app.imaging.dicom_source import HEADER_ERRORS
from tests import films, lossless_jpeg
from tests.wire import bombs

Pixels = np.ndarray[Any, Any]
SIDE = 64
EOI = b"\xff\xd9"
LOSSLESS = b"\xff\xc3"
START_OF_SCAN = b"\xff\xda"
RESTARTS = re.compile(rb"\xff[\xd0-\xd7]")
PROGRESSIVE = UID("1.2.840.10008.1.2.4.55")


def slope(bits: int) -> Pixels:
    """A slope with noise on it: neither a flat field nor noise alone."""
    chance = np.random.default_rng(4)
    steps = np.add.outer(np.arange(SIDE), np.arange(SIDE)) + chance.integers(0, 9, (SIDE, SIDE))
    return np.asarray(steps << (bits - 8), np.uint8 if bits == 8 else np.uint16)


def encode_jpeg(pixels: Pixels, **how: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels, "CMYK" if pixels.shape[2:] == (4,) else None).save(out, "JPEG", **how)
    return out.getvalue()


STREAMS: dict[str, tuple[UID, int, Callable[[], bytes]]] = {
    "baseline": (JPEGBaseline8Bit, 8, lambda: encode_jpeg(slope(8), quality=95)),
    "baseline, restarts": (JPEGBaseline8Bit, 8, lambda: encode_jpeg(slope(8), quality=95, restart_marker_rows=1)),
    "progressive": (PROGRESSIVE, 8, lambda: encode_jpeg(slope(8), quality=95, progressive=True)),
    "extended": (JPEGExtended12Bit, 12, lambda: bytes(jpeg8_encode(slope(12), level=95, bitspersample=12))),
    "lossless": (JPEGLosslessSV1, 8, lambda: lossless_jpeg.encode_lossless(slope(8), 8)),
    "lossless, restarts": (JPEGLosslessSV1, 8, lambda: lossless_jpeg.encode_lossless(slope(8), 8, lines=4)),
}
WITH_RESTARTS = [name for name in STREAMS if "restarts" in name]


def begin(stream: bytes) -> int:
    """Where the coded data of the first scan begin."""
    at = stream.index(START_OF_SCAN)
    return at + 2 + int.from_bytes(stream[at + 2 : at + 4])


def grey(folder: Path, stream: bytes, kind: str) -> Pixels:
    syntax, bits, _ = STREAMS[kind]
    made = films.film(
        slope(bits),
        syntax=JPEGBaseline8Bit if syntax == PROGRESSIVE else syntax,
        pixel_data=encapsulate([stream]),
        BitsStored=bits,
        HighBit=bits - 1,
    )
    with image_file.open_image_file(films.save(folder, "film.dcm", made), is_picture=False) as opened:
        return opened.grey(0)


@pytest.mark.parametrize("kind", STREAMS)
def test_a_stream_is_read_while_it_is_whole_and_refused_once_cut_and_ended_again(tmp_path: Path, kind: str) -> None:
    _, bits, encode = STREAMS[kind]
    stream = encode()
    pixels, first = grey(tmp_path, stream, kind), begin(stream)
    np.testing.assert_allclose(pixels, slope(bits), atol=0 if "lossless" in kind else 8 << (bits - 8))
    for kept in (0.3, 0.6, 0.9):  # of a progressive one where a scan is cut, not between two
        with pytest.raises(Undecodable):
            grey(tmp_path, stream[: first + int((len(stream) - first) * kept)].rstrip(b"\xff") + EOI, kind)


def without_intervals(stream: bytes, count: int) -> bytes:
    at = [match.start() for match in RESTARTS.finditer(stream, begin(stream))]
    return stream[: at[1]] + stream[at[1 + count] :]


@pytest.mark.parametrize(
    "broken",
    [
        lambda stream: without_intervals(stream, 1),
        lambda stream: stream[: begin(stream)] + b"\xff\xd0" * 200_000 + stream[begin(stream) :],
    ],
    ids=["one interval", "markers alone"],
)
@pytest.mark.parametrize("kind", WITH_RESTARTS)
def test_restart_intervals_that_are_missing_or_cut_are_refused(tmp_path: Path, kind: str, broken: Any) -> None:
    with pytest.raises(Undecodable):
        grey(tmp_path, broken(STREAMS[kind][2]()), kind)


# --- a part lost anywhere -----------------------------------------------------------------------------------------

TRIALS = int(os.environ.get("LANTERN_TRIALS", "60"))
"""Of each kind; what is found of 400 stands in docs/decisions/pixels.md."""
LARGER = 512


def ultrasound(rows: int = 240, columns: int = 320) -> Pixels:
    """A grey screen as a machine sends it: a black one with speckle in a sector."""
    chance = np.random.default_rng(7)
    down, across = np.mgrid[0:rows, 0:columns] / rows
    inside = (np.hypot(down + 0.1, across - 0.67) < 1.0) & (abs(across - 0.67) < 0.7 * down + 0.05)
    grains = Image.fromarray(chance.rayleigh(55, (rows // 2, columns // 2)).astype(np.float32))
    speckle = np.asarray(grains.resize((columns, rows), Image.Resampling.BICUBIC)) * (0.7 + 0.3 * np.sin(9 * down))
    return np.where(inside, np.clip(speckle, 0, 255), 0).astype(np.uint8)


def screen(samples: int, pixels: Pixels | None = None, **how: Any) -> bytes:
    """It as a JPEG; with three *samples* R, G and B are the same, as most machines write greys."""
    grey = ultrasound() if pixels is None else pixels
    return encode_jpeg(np.stack([grey] * samples, axis=-1).squeeze(), quality=90, **how)


def larger(samples: int, **how: Any) -> bytes:
    """A film of 8 bits."""
    shapes = [films.shapes(number, LARGER, LARGER, top=255).astype(np.uint8) for number in range(samples)]
    return encode_jpeg(np.stack(shapes, axis=-1).squeeze(), **how)


# How large a part of the trials may at most be taken for whole, and be so with pixels that are off on the average by
# more than a grey level in 256.  The last code of whichever are taken ends where it should.
ANYWHERE: dict[str, tuple[float, float, Callable[[], bytes]]] = {
    **{
        kind: (taken, off, STREAMS[kind][2])
        for kind, taken, off in (
            ("baseline", 0.12, 0.05),
            ("progressive", 0.2, 0.12),
            ("extended", 0.35, 0.3),
            ("lossless", 0.0, 0.0),
        )
    },
    "a larger film with its own tables": (0.12, 0.1, lambda: larger(1, quality=95, optimize=True)),
    "ultrasound": (0.14, 0.1, lambda: screen(1)),
    "ultrasound as RGB": (0.28, 0.2, lambda: screen(3)),
    # Of its last scan, which makes it finer by one bit, a part may be lost unseen, and is seen by nobody.
    "a larger film, progressive": (0.6, 0.02, lambda: larger(1, quality=95, progressive=True)),
}


def decode_stream(stream: bytes) -> Pixels:
    """As of a DICOM object that says of its size what *stream* says."""
    size, depth = codestream.read_size(stream), codestream.read_precision(stream)
    if size is None or depth is None:
        raise Undecodable(detail="no header")
    codestream.check_stream(stream, *size, rle=False, frame_bytes=0)
    samples = jpeg.decode_jpeg_samples(stream, depth.samples, 8 * -(-depth.bits // 8))
    return samples.astype(np.float64) / (1 << depth.bits - 8)


@pytest.mark.parametrize("kind", ANYWHERE)
def test_a_part_lost_anywhere_is_found_but_for_few(kind: str) -> None:
    """Up to 200 bytes of the coded data are taken out, and the stream is ended as it should be."""
    most_taken, most_off, encode = ANYWHERE[kind]
    taken, off = lost_from(kind, encode())
    assert taken <= most_taken * TRIALS
    assert off <= most_off * TRIALS


def lost_from(kind: str, stream: bytes) -> tuple[int, int]:
    """Of `TRIALS` losses how many are taken for whole, and how many of those are off; they are printed."""
    chance, taken, off, whole = random.Random(20), 0, 0, decode_stream(stream)
    for _ in range(TRIALS):
        lost = chance.randint(1, 200)
        at = chance.randint(begin(stream), len(stream) - 2 - lost)
        with suppress(Undecodable, *HEADER_ERRORS):
            pixels = decode_stream((stream[:at] + stream[at + lost : -2]).rstrip(b"\xff") + EOI)
            taken += 1
            off += np.abs(pixels - whole).mean() > 1
    print(f"{kind}: {taken} of {TRIALS} streams taken for whole, {off} of them with pixels that are off")
    return taken, off


@pytest.mark.parametrize("samples", [1, 3])
def test_a_sector_of_zeros_is_found_wherever_it_lies(samples: int) -> None:
    stream = screen(samples)
    for at in range(begin(stream), len(stream) - 514, 600):
        assert is_refused(stream[:at] + bytes(512) + stream[at + 512 :])


# --- whole streams ------------------------------------------------------------------------------------------------


def is_refused(stream: bytes) -> bool:
    try:
        decode_stream(stream)
    except (Undecodable, *HEADER_ERRORS):
        return True
    return False


def noisy(shape: tuple[int, ...]) -> Pixels:
    steps = np.add.outer(np.arange(shape[0]), np.arange(shape[1])).reshape(*shape[:2], *[1] * (len(shape) - 2))
    return np.asarray((steps * 2 + np.random.default_rng(9).integers(0, 24, shape)) % 256, np.uint8)


@pytest.mark.parametrize("size", [(1, 1), (17, 33)])
@pytest.mark.parametrize("kind", [{"optimize": True}, {"progressive": True, "restart_marker_rows": 1}], ids=str)
def test_whole_streams_of_every_kind_are_read(size: tuple[int, int], kind: dict[str, Any]) -> None:
    """Black beside white, whose levels are the furthest apart, white alone, and noise."""
    for samples, quality in product((1, 3), (1, 100)):
        shape = size if samples == 1 else (*size, samples)
        black_and_white = np.random.default_rng(3).integers(0, 2, shape).astype(np.uint8) * 255
        for pixels in (noisy(shape), black_and_white, np.full(shape, 255, np.uint8)):
            for subsampling in (0, 2) if samples > 1 else (0,):
                assert (
                    decode_stream(encode_jpeg(pixels, quality=quality, subsampling=subsampling, **kind)).shape == shape
                )


@pytest.mark.parametrize("kind", [{}, {"progressive": True}, {"restart_marker_rows": 1}], ids=str)
@pytest.mark.parametrize("padding", [b"\0\0", b"\xff\0\xff\0\xff\0", b"\xff\xff"])
def test_padding_before_the_end_is_no_loss(kind: dict[str, Any], padding: bytes) -> None:
    """With which some encoders make the length even, or fill up a word."""
    for side in (8, 72, 152):
        stream = encode_jpeg(noisy((64, side)), quality=90, **kind)
        np.testing.assert_array_equal(decode_stream(stream[:-2] + padding + EOI), decode_stream(stream))


def test_what_lies_behind_the_end_of_a_picture_is_not_looked_at() -> None:
    """As the film of a second that phones put there."""
    stream = screen(3)
    lost = (stream[:-1000]).rstrip(b"\xff") + EOI
    for tail in (b"", bytes(9 << 20), b"\xff\xd0" * 40_000):
        jpeg.check_lost_data(stream + tail)
        with pytest.raises(Undecodable):
            jpeg.check_lost_data(lost + tail)


# --- broken in other ways -----------------------------------------------------------------------------------------


def test_a_stream_that_turns_lossless_behind_its_header_is_refused() -> None:
    """A decoder asked for an eighth of it would write the whole behind the end of a smaller array."""
    stream = encode_jpeg(noisy((128, 128)), quality=90)
    header = stream.index(b"\xff\xc0")
    second = LOSSLESS + stream[header + 2 : header + 13]
    for at in (header, header + 13):
        with pytest.raises(Undecodable, match="more than one"):
            jpeg.check_lost_data(stream[:at] + second + stream[at:])


def test_a_lossless_stream_is_never_decoded_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    def watched(stream: bytes, **how: Any) -> Pixels:
        asked.append(how)
        return np.asarray(decode_jpeg(stream, **how))

    monkeypatch.setattr(jpeg, "decode_jpeg", watched)
    for samples in (slope(8), np.stack([slope(8)] * 3, axis=-1)):
        jpeg.check_lost_data(lossless_jpeg.encode_lossless(samples, 8))
    assert [set(how) for how in asked] == [{"colorspace"}] * 2


def test_a_picture_that_lost_coded_data_is_refused(tmp_path: Path) -> None:
    stream, path = encode_jpeg(noisy((120, 140, 3)), quality=90), tmp_path / "picture.jpg"
    path.write_bytes(stream)
    with image_file.open_image_file(path, is_picture=True) as opened:
        assert opened.grey(0).shape == (120, 140)
    path.write_bytes(stream[: len(stream) // 2] + stream[len(stream) // 2 + 900 :])
    with pytest.raises(Undecodable), image_file.open_image_file(path, is_picture=True) as opened:
        opened.grey(0)


# --- what would take long -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "saying"),
    [
        (lambda: bombs.jpeg_of_tables(64, 64, 0xC4, 20_000_000), "more than any can have"),
        (lambda: b"\xff\xd8" + b"\xff\xfe\0\2" * 100_000 + encode_jpeg(noisy((64, 64)))[2:], "10000 segments"),
        (lambda: b"\xff\xd8" + bytes(5_000_000) + encode_jpeg(noisy((64, 64)))[2:], "between two segments"),
        (lambda: bombs.jpeg_of_fill_bytes(20_000_000), "fill bytes"),
    ],
    ids=["Huffman tables", "segments", "bytes between", "fill bytes"],
)
def test_a_stream_made_to_take_long_is_refused_at_once(make: Callable[[], bytes], saying: str) -> None:
    stream = make()
    begun = time.process_time()
    with pytest.raises(Undecodable, match=saying):
        jpeg.check_lost_data(stream)
    assert time.process_time() - begun < 1.0
