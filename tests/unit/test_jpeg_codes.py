"""The codes of a JPEG are gone along to find lost data that its pixels do not show, and no whole stream is refused."""

from __future__ import annotations

import io
import random
import re
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from imagecodecs import jpeg8_encode
from PIL import Image

from firmware_app.errors import PixelsUnsupported, Undecodable
from firmware_app.imaging import film
from firmware_app.imaging.jpeg import code_count, codestream, jpeg8, jpeg_deep
from tests.baseline_jpeg import BLOCKS_A_ROW, FLAT, REST, START, encoded, step
from tests.wire import bombs

Pixels = np.ndarray[Any, Any]
START_OF_SCAN = 0xDA
SMALL, LARGE = 2 * BLOCKS_A_ROW, 160 * BLOCKS_A_ROW
"""Blocks of a frame."""
BEHIND_THE_LAST = START[0] + 4 * (REST[0xF1] + "1") + REST[0]


def read(stream: bytes) -> Pixels:
    size, depth = codestream.size(stream), codestream.depth(stream)
    assert size is not None
    assert depth is not None
    codestream.check(stream, *size, rle=False, frame_bytes=size[0] * size[1])
    return jpeg8.decode(stream, depth.samples) if depth.bits == 8 else jpeg_deep.decode(stream, depth.samples, 16)


def frame(count: int, *, middle: tuple[str, ...] = (), last: tuple[str, ...] = ()) -> list[str]:
    first = (count - len(middle)) // 2
    return [*[FLAT] * first, *middle, *[FLAT] * (count - first - len(middle) - len(last)), *last]


@pytest.mark.parametrize("count", [SMALL, LARGE])
def test_levels_from_black_to_white_are_read(count: int) -> None:
    steps = (step(-128), step(255), step(-255), step(128))
    pixels = read(encoded(frame(count, middle=steps)))
    assert (pixels.min(), pixels.max()) == (0, 255)


@pytest.mark.parametrize("count", [SMALL, LARGE])
@pytest.mark.parametrize("towards", [1, -1])
@pytest.mark.parametrize("quantizer", [2, 8, 99])
def test_a_block_lighter_or_darker_than_any_is_refused(count: int, towards: int, quantizer: int) -> None:
    steps = -(-1024 * 3 // (2 * 200 * quantizer))
    with pytest.raises(Undecodable):
        read(encoded(frame(count, middle=(step(200 * towards),) * steps), quantizer))


@pytest.mark.parametrize("count", [SMALL, LARGE])
def test_a_code_that_there_is_not_is_refused(count: int) -> None:
    """libjpeg takes 17 bits for it, and goes on as if the block were as light as the one before."""
    with pytest.raises(Undecodable):
        read(encoded(frame(count, middle=("1110" + "0" * 13 + REST[0],))))


def test_a_coefficient_behind_the_last_is_refused() -> None:
    whole = START[0] + 3 * (REST[0xF1] + "1") + 15 * (REST[0x01] + "0")
    assert read(encoded(frame(SMALL, middle=(whole,)))).std() > 0
    with pytest.raises(Undecodable):
        read(encoded(frame(SMALL, middle=(BEHIND_THE_LAST,))))


def test_zeros_up_to_and_beyond_the_last_coefficient_are_read() -> None:
    zeros = START[0] + 4 * REST[0xF0]
    assert read(encoded(frame(SMALL, middle=(zeros, step(10))))).max() == 138


@pytest.mark.parametrize("zeros", range(8))  # codes of a bit that move the end of the last one within its byte
def test_what_is_left_of_coded_data_is_refused_but_not_padding(zeros: int) -> None:
    blocks = frame(SMALL, middle=(*[START[4] + "1000" + REST[0x01] + "0" + REST[0]] * zeros,))
    whole = read(encoded(blocks))
    for padding in (b"", b"\0", b"\0\0", b"\xff", b"\xff\0", b"\xff\0\xff\0\xff\0", b"\xff\xff"):
        np.testing.assert_array_equal(read(encoded(blocks, behind=padding)), whole)
    for left in (b"\x3a", b"\x12\x34\x56", b"\0" * 8):
        with pytest.raises(Undecodable):
            read(encoded(blocks, behind=left))


@pytest.mark.parametrize("kind", [{}, {"progressive": True}, {"restart_marker_rows": 1}], ids=str)
@pytest.mark.parametrize("padding", [b"\0", b"\0\0", b"\xff\0"])
def test_an_even_length_made_by_a_zero_before_the_end_is_no_loss(kind: dict[str, Any], padding: bytes) -> None:
    for side in range(8, 160, 8):
        stream = pillow(noisy((64, side)), quality=90, **kind)
        np.testing.assert_array_equal(read(stream[:-2] + padding + stream[-2:]), read(stream))


def markers(stream: bytes, wanted: int) -> int:
    return next(at for marker, at in codestream.segments_of(stream) if marker == wanted)


@pytest.mark.parametrize("junk", [b"\0", b"\x12\xff\0\x34", b"\xff\xff\xff"])
@pytest.mark.parametrize("marker", [0xDB, 0xC0, 0xC4, START_OF_SCAN])
def test_bytes_between_segments_hide_no_loss(tmp_path: Path, junk: bytes, marker: int) -> None:
    """libjpeg and Pillow pass them by."""
    stream = pillow(noisy((128, 128)), quality=90)
    at = markers(stream, marker)
    with_junk = stream[:at] + junk + stream[at:]
    np.testing.assert_array_equal(read(with_junk), read(stream))
    cut = with_junk[: (markers(with_junk, START_OF_SCAN) + len(with_junk)) // 2].rstrip(b"\xff") + b"\xff\xd9"
    with pytest.raises(Undecodable):
        read(cut)
    with pytest.raises(Undecodable), film.opened(saved(tmp_path / "cut.jpg", cut), is_picture=True) as opened:
        opened.grey(0)


def test_what_is_left_of_a_lost_segment_between_scans_is_refused() -> None:
    stream = pillow(noisy((64, 64)), quality=90, progressive=True)
    segments = list(codestream.segments_of(stream))
    scan = [number for number, (marker, _) in enumerate(segments) if marker == START_OF_SCAN][1]
    tables, behind = segments[scan + 1][1], segments[scan + 2][1]
    with pytest.raises(Undecodable):
        read(stream[: tables - 5] + stream[behind - 9 :])
    with pytest.raises(Undecodable):
        read(stream[:behind] + b"\0" + stream[behind:])


def test_a_picture_without_scan_or_end_is_refused(tmp_path: Path) -> None:
    stream = pillow(noisy((128, 128)), quality=90)
    for broken in (stream[: markers(stream, START_OF_SCAN)] + b"\xff\xd9", stream[:-2]):
        with pytest.raises(Undecodable):
            jpeg8.check(broken)


def test_what_ends_a_scan_for_libjpeg_within_its_data_is_refused() -> None:
    """As where the zero stuffed behind FF was lost, and no encoder writes it (ISO/IEC 10918-1 B.1.1.2)."""
    stream = pillow(noisy((128, 128)), quality=90)
    at = stream.index(b"\xff\0", markers(stream, START_OF_SCAN))
    for instead in (b"\x01", b"\x34"):
        with pytest.raises(Undecodable):
            read(stream[: at + 1] + instead + stream[at + 2 :])


# --- what would take long -----------------------------------------------------------------------------------------


def refused(stream: bytes, saying: str) -> None:
    begun = time.process_time()
    with pytest.raises(Undecodable, match=saying):
        read(stream)
    assert time.process_time() - begun < 0.5


def test_more_components_and_factors_than_there_can_be_are_refused_at_once() -> None:
    refused(bombs.jpeg_of_components(64, 64, 255, 128), "headers of the compressed frame are broken")


@pytest.mark.parametrize("marker", [0xDB, 0xC4])
def test_tables_beyond_all_that_a_stream_can_name_are_refused_at_once(marker: int) -> None:
    refused(bombs.jpeg_of_tables(64, 64, marker, 20_000_000), "more than any can have")
    refused(bombs.jpeg_of_tables(64, 64, marker, 2_000_000, at_once=4), "bytes of tables")


def test_segments_without_end_and_fill_bytes_are_refused_at_once() -> None:
    whole = pillow(noisy((64, 64)))
    refused(whole[:2] + b"\xff\xfe\0\2" * 100_000 + whole[2:], "more than 10000 segments")
    refused(whole[:2] + b"\xff" * 5_000_000 + whole[2:], "between two segments")


@pytest.mark.parametrize("kind", [{}, {"progressive": True}], ids=str)
def test_a_scan_of_fill_bytes_is_refused_at_once_and_a_few_are_passed_by(tmp_path: Path, kind: dict[str, Any]) -> None:
    """Pillow, given them piece by piece, goes over all of them again with each."""
    whole = pillow(noisy((64, 64)), **kind)
    filled = whole[:-2] + b"\xff" * 20_000_000 + whole[-2:]
    begun = time.process_time()
    with (
        pytest.raises(Undecodable, match="fill bytes"),
        film.opened(saved(tmp_path / "f.jpg", filled), is_picture=True),
    ):
        pass
    assert time.process_time() - begun < 1.0
    few = whole[:-2] + b"\xff" * 10_000 + whole[-2:]
    np.testing.assert_array_equal(read(few), read(whole))


@pytest.mark.parametrize("fill", [1, 3])
def test_fill_bytes_before_each_restart_are_passed_by(fill: int) -> None:
    """Of flat blocks with a restart behind each: most of the coded data are markers and fill bytes (B.1.1.2)."""
    whole = bombs.jpeg_of_restarts(2_048)
    filled = re.sub(rb"\xff([\xd0-\xd7])", lambda found: b"\xff" * fill + found[0], whole)
    assert filled.count(b"\xff\xff") > 1 << 15
    np.testing.assert_array_equal(read(filled), read(whole))


def test_many_runs_of_fill_bytes_are_refused_at_once(tmp_path: Path) -> None:
    whole = pillow(noisy((1024, 1024)), restart_marker_blocks=30)
    filled = re.sub(rb"\xff([\xd0-\xd7])", lambda found: b"\xff" * 60_000 + found[0], whole)
    assert len(filled) > 30_000_000
    begun = time.process_time()
    with pytest.raises(Undecodable, match="fill bytes"):
        read(filled)
    assert time.process_time() - begun < 1.0


@pytest.mark.parametrize(
    ("size", "kind"), [((4240, 4280), {}), ((2048, 2048), {"progressive": True})], ids=["baseline", "progressive"]
)
def test_a_film_with_a_restart_behind_each_block_is_read(
    tmp_path: Path, size: tuple[int, int], kind: dict[str, Any]
) -> None:
    stream = pillow(np.full(size, 90, np.uint8), restart_marker_blocks=1, **kind)
    with film.opened(saved(tmp_path / "restarts.jpg", stream), is_picture=True) as opened:
        assert opened.frames == 1
        assert opened.grey(0).mean() == pytest.approx(90, abs=1)


def test_restarts_beyond_all_bounds_are_refused_at_once(tmp_path: Path) -> None:
    path = saved(tmp_path / "restarts.jpg", bombs.jpeg_of_restarts(11_500))
    begun = time.process_time()
    with pytest.raises(PixelsUnsupported, match="restarts"), film.opened(path, is_picture=True):
        pass
    assert time.process_time() - begun < 0.5
    with film.opened(saved(tmp_path / "fewer.jpg", bombs.jpeg_of_restarts(2_000)), is_picture=True) as opened:
        assert (opened.rows, opened.columns) == (2_000, 2_000)


def test_what_lies_behind_the_end_of_a_picture_does_not_make_up_for_its_blocks() -> None:
    """The header claims more blocks than the scan has bits; behind the end there are enough of them."""
    claimed, side = bombs.jpeg(4_000, 4_000), 4_000
    for tail in (b"", bytes(200_000)):
        with pytest.raises(Undecodable, match="cannot hold"):
            codestream.check_work(claimed + tail, side, side)


def test_a_progressive_frame_is_counted_for_a_bounded_time() -> None:
    side = 2712
    stream = bombs.progressive_ones(side)
    begun = time.process_time()
    assert read(stream).shape == (side, side)
    assert time.process_time() - begun < 1.0


@pytest.mark.parametrize(
    ("make", "arguments"),
    [(bombs.jpeg_of_restarts, (6_000,)), (bombs.jpeg_of_scans, (6_000, 1, 24)), (bombs.jpeg_of_scans, (6_000, 3, 24))],
)
def test_a_large_picture_is_counted_for_a_bounded_time(make: Callable[..., bytes], arguments: tuple[int, ...]) -> None:
    """By its restarts and its blocks, which may take few bytes."""
    stream = make(*arguments)
    assert len(stream) < 8 << 20
    begun = time.process_time()
    assert not codestream.codes_come_out(stream)
    assert time.process_time() - begun < 1.0
    assert codestream.codes_come_out(make(400, *arguments[1:]))


def test_what_lies_behind_the_end_of_a_picture_is_not_weighed() -> None:
    """As the film of a second that phones put there."""
    down, across = np.mgrid[:480, :640]
    soft = 120 + 60 * np.sin(across / 40) + 50 * np.cos(down / 31) + np.random.default_rng(3).normal(0, 6, (480, 640))
    stream = pillow(np.repeat(np.clip(soft, 0, 255).astype(np.uint8)[..., None], 3, 2), quality=90)
    begin, chance, refused = markers(stream, START_OF_SCAN) + 14, random.Random(1), 0
    tails = (b"", bytes(9 << 20), b"\xff\xd0" * 40_000)
    for _ in range(12):
        lost = chance.randint(1, 200)
        at = chance.randint(begin, len(stream) - 2 - lost)
        broken = (stream[:at] + stream[at + lost : -2]).rstrip(b"\xff") + b"\xff\xd9"
        answers = [is_refused(broken + tail) for tail in tails]
        assert len(set(answers)) == 1, answers
        refused += answers[0]
    assert refused >= 8


def is_refused(stream: bytes) -> bool:
    try:
        jpeg8.check(stream)
    except Undecodable:
        return True
    return False


def test_frames_of_one_object_share_the_time_for_counting(monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[int] = []

    def count(stream: bytes, *_: object, **__: object) -> bool:
        counted.append(len(stream))
        return True

    monkeypatch.setattr(code_count, "comes_out", count)
    small, large = (pillow(noisy((side, side)), quality=90) for side in (512, 2400))
    for frames in (1, 120, 100_000):
        jpeg8.decode(small, 1, frames)
        jpeg8.decode(large, 1, frames)
    assert counted == [len(small), len(large), len(small), len(small)]


def test_blocks_beyond_the_frame_are_refused() -> None:
    """The 64 blocks of a flat frame are ended by one code with six bits behind it; with ones there it ends 127."""
    stream = pillow(np.full((64, 64), 90, np.uint8), progressive=True)
    assert (read(stream) == 90).all()
    scan = [at for marker, at in codestream.segments_of(stream) if marker == START_OF_SCAN][1]
    coded = scan + 2 + int.from_bytes(stream[scan + 2 : scan + 4])
    assert stream[coded : coded + 2] == b"\x01\xff"
    with pytest.raises(Undecodable):
        read(stream[:coded] + b"\x7f" + stream[coded + 1 :])


def test_a_scan_lost_between_others_is_refused() -> None:
    """Of the six scans of a grey frame the fourth makes its coefficients finer, and so does the last."""
    stream = pillow(noisy((64, 64)), progressive=True)
    read(stream)
    segments = list(codestream.segments_of(stream))
    scan = [number for number, (marker, _) in enumerate(segments) if marker == START_OF_SCAN][3]
    tables, behind = segments[scan - 1][1], segments[scan + 1][1]
    with pytest.raises(Undecodable):
        read(stream[:tables] + stream[behind:])


# --- whole streams ------------------------------------------------------------------------------------------------


def noisy(shape: tuple[int, ...]) -> Pixels:
    chance, steps = np.random.default_rng(9), np.add.outer(np.arange(shape[0]), np.arange(shape[1]))
    steps = steps.reshape(*steps.shape, *[1] * (len(shape) - 2))
    return np.asarray((steps * 2 + chance.integers(0, 24, shape)) % 256, np.uint8)


def pillow(pixels: Pixels, **how: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels, "CMYK" if pixels.shape[2:] == (4,) else None).save(out, "JPEG", **how)
    return out.getvalue()


SIZES = [(1, 1), (7, 9), (8, 8), (17, 33), (90, 120)]
KINDS: list[dict[str, Any]] = [
    {},
    {"optimize": True},
    {"progressive": True},
    {"restart_marker_blocks": 3},
    {"progressive": True, "restart_marker_rows": 1},
]


def contents(size: tuple[int, int], samples: int) -> list[Pixels]:
    shape = size if samples == 1 else (*size, samples)
    chance = np.random.default_rng(3)
    black_and_white = chance.integers(0, 2, shape).astype(np.uint8) * 255
    return [noisy(shape), black_and_white, np.full(shape, 255, np.uint8)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_whole_streams_of_every_kind_are_read(size: tuple[int, int], kind: dict[str, Any]) -> None:
    for samples, quality in product((1, 3, 4), (1, 75, 100)):
        for pixels, subsampling in product(contents(size, samples), (0, 2) if samples > 1 else (0,)):
            stream = pillow(pixels, quality=quality, subsampling=subsampling, **kind)
            assert read(stream).shape == pixels.shape


@pytest.mark.parametrize("size", SIZES)
def test_whole_streams_of_12_bits_are_read(size: tuple[int, int]) -> None:
    for quality, pixels in product((1, 30, 75, 95, 100), contents(size, 1)):
        deep = pixels.astype(np.uint16) << 4 | pixels >> 4
        assert read(bytes(jpeg8_encode(deep, level=quality, bitspersample=12))).shape == size


# --- pictures -----------------------------------------------------------------------------------------------------


def saved(path: Path, stream: bytes) -> Path:
    path.write_bytes(stream)
    return path


@pytest.mark.parametrize("samples", [1, 3, 4])
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_picture_that_lost_coded_data_is_refused(tmp_path: Path, samples: int, kind: dict[str, Any]) -> None:
    pixels = noisy((120, 140, samples) if samples > 1 else (120, 140))
    stream = pillow(pixels, quality=90, **kind)
    with film.opened(saved(tmp_path / "whole.jpg", stream), is_picture=True) as opened:
        assert opened.grey(0).shape == (120, 140)
    third = (len(stream) - 700) // 3
    without = stream[: 700 + third] + stream[700 + 2 * third :]
    with pytest.raises(Undecodable), film.opened(saved(tmp_path / "lost.jpg", without), is_picture=True) as opened:
        opened.grey(0)
