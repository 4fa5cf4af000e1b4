"""A JPEG that lost coded data is refused however whole its end looks, and frames beyond the header's are told of."""

from __future__ import annotations

import io
import os
import random
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from imagecodecs import jpeg8_encode
from PIL import Image
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.uid import UID, JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLosslessSV1, RLELossless

from firmware_app.errors import Undecodable
from firmware_app.imaging import film
from firmware_app.imaging.jpeg import coded_runs, codestream, jpeg8, jpeg_deep
from firmware_app.imaging.source import BROKEN
from firmware_app.reading.hints import FRAMES_LEFT
from tests import films, lossless_jpeg
from tests.peers import shared

Pixels = np.ndarray[Any, Any]
SIDE = 64
EOI = b"\xff\xd9"
LOSSLESS = b"\xff\xc3"
RESTARTS = re.compile(rb"\xff[\xd0-\xd7]")
PROGRESSIVE = UID("1.2.840.10008.1.2.4.55")


def slope(bits: int) -> Pixels:
    """A slope with noise on it: neither a flat field nor noise alone."""
    chance = np.random.default_rng(4)
    steps = np.add.outer(np.arange(SIDE), np.arange(SIDE)) + chance.integers(0, 9, (SIDE, SIDE))
    return np.asarray(steps << (bits - 8), np.uint8 if bits == 8 else np.uint16)


def pillow(**how: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(slope(8)).save(out, "JPEG", quality=95, **how)
    return out.getvalue()


def lossless(lines: int = 0) -> bytes:
    return lossless_jpeg.encoded(slope(8), 8, lines=lines)


STREAMS: dict[str, tuple[UID, int, Callable[[], bytes]]] = {
    "baseline": (JPEGBaseline8Bit, 8, pillow),
    "baseline, restarts": (JPEGBaseline8Bit, 8, lambda: pillow(restart_marker_rows=1)),
    "progressive": (PROGRESSIVE, 8, lambda: pillow(progressive=True)),
    "extended": (JPEGExtended12Bit, 12, lambda: bytes(jpeg8_encode(slope(12), level=95, bitspersample=12))),
    "lossless": (JPEGLosslessSV1, 8, lossless),
    "lossless, restarts": (JPEGLosslessSV1, 8, lambda: lossless(4)),
}
WITH_RESTARTS = [name for name in STREAMS if "restarts" in name]


def begin(stream: bytes) -> int:
    """Where the coded data of the first scan begin."""
    at = stream.index(b"\xff\xda")
    return at + 2 + int.from_bytes(stream[at + 2 : at + 4])


def grey(folder: Path, streams: list[bytes], kind: str) -> Pixels:
    syntax, bits, _ = STREAMS[kind]
    made = films.film(slope(bits), syntax=JPEGBaseline8Bit if syntax == PROGRESSIVE else syntax,
                      pixel_data=encapsulate(streams), BitsStored=bits, HighBit=bits - 1)  # fmt: skip
    with film.opened(films.save(folder, "film.dcm", made), is_picture=False) as opened:
        return opened.grey(0)


@pytest.mark.parametrize("kind", STREAMS)
def test_a_whole_stream_is_read(tmp_path: Path, kind: str) -> None:
    _, bits, encode = STREAMS[kind]
    found = grey(tmp_path, [encode()], kind)
    np.testing.assert_allclose(found, slope(bits), atol=0 if "lossless" in kind else 8 << (bits - 8))


@pytest.mark.parametrize("kind", STREAMS)  # of a progressive one where a scan is cut, not between two
@pytest.mark.parametrize("kept", [0.3, 0.6, 0.9])
def test_a_stream_that_was_cut_and_ended_again_is_refused(tmp_path: Path, kind: str, kept: float) -> None:
    stream = STREAMS[kind][2]()
    first = begin(stream)
    cut = stream[: first + int((len(stream) - first) * kept)].rstrip(b"\xff") + EOI
    with pytest.raises(Undecodable):
        grey(tmp_path, [cut], kind)


@pytest.mark.parametrize("kind", [kind for kind in STREAMS if kind != "progressive"])
def test_a_stream_that_lost_a_part_in_the_middle_is_refused(tmp_path: Path, kind: str) -> None:
    stream = STREAMS[kind][2]()
    first = begin(stream)
    third = (len(stream) - first) // 3
    with pytest.raises(Undecodable):
        grey(tmp_path, [stream[: first + third] + stream[first + 2 * third :]], kind)


@pytest.mark.parametrize("lost", [2, 4, 12])
@pytest.mark.parametrize("kind", ["baseline", "lossless"])
def test_a_stream_that_lost_only_its_last_bytes_is_refused(tmp_path: Path, kind: str, lost: int) -> None:
    stream = STREAMS[kind][2]()
    with pytest.raises(Undecodable):
        grey(tmp_path, [stream[: -2 - lost].rstrip(b"\xff") + EOI], kind)


def without_intervals(stream: bytes, count: int) -> bytes:
    at = [found.start() for found in RESTARTS.finditer(stream, begin(stream))]
    return stream[: at[1]] + stream[at[1 + count] :]


def without_a_marker(stream: bytes) -> bytes:
    at = [found.start() for found in RESTARTS.finditer(stream, begin(stream))]
    return stream[: at[1]] + stream[at[1] + 2 :]


def renumbered(stream: bytes) -> bytes:
    at = [found.start() for found in RESTARTS.finditer(stream, begin(stream))]
    return stream[: at[1]] + b"\xff\xd0" + stream[at[1] + 2 :]


def with_half_an_interval(stream: bytes) -> bytes:
    at = [found.start() for found in RESTARTS.finditer(stream, begin(stream))]
    return stream[: (at[1] + at[2]) // 2].rstrip(b"\xff") + stream[at[2] :]


@pytest.mark.parametrize(
    "broken",
    [
        lambda stream: without_intervals(stream, 1),
        lambda stream: without_intervals(stream, 3),
        without_a_marker,
        renumbered,
        with_half_an_interval,
        lambda stream: stream[: begin(stream)] + b"\xff\xd0" * 200_000 + stream[begin(stream) :],
    ],
    ids=["one interval", "three intervals", "a marker", "renumbered", "half an interval", "markers alone"],
)
@pytest.mark.parametrize("kind", WITH_RESTARTS)
def test_restart_intervals_that_are_missing_or_cut_are_refused(tmp_path: Path, kind: str, broken: Any) -> None:
    with pytest.raises(Undecodable):
        grey(tmp_path, [broken(STREAMS[kind][2]())], kind)


@pytest.mark.parametrize("kind", ["baseline", "lossless"])
def test_restart_markers_that_nothing_promised_are_refused(tmp_path: Path, kind: str) -> None:
    stream = STREAMS[kind][2]()
    with pytest.raises(Undecodable):
        grey(tmp_path, [stream[: begin(stream)] + b"\xff\xd0" * 200_000 + stream[begin(stream) :]], kind)


def test_eight_intervals_lost_would_leave_the_order_of_the_markers_right(tmp_path: Path) -> None:
    with pytest.raises(Undecodable):
        grey(tmp_path, [without_intervals(STREAMS["lossless, restarts"][2](), 8)], "lossless, restarts")


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("interval", [1, 3, 7])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("size", [(17, 33), (40, 8), (1, 1)])
def test_restarts_in_colour_are_counted_as_their_encoder_counts_them(
    tmp_path: Path, subsampling: int, interval: int, progressive: bool, size: tuple[int, int]
) -> None:
    """Scans of one component and of three have other units (ISO/IEC 10918-1 A.2)."""
    pixels = np.random.default_rng(1).integers(0, 256, (*size, 3)).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(
        out, "JPEG", subsampling=subsampling, restart_marker_blocks=interval, progressive=progressive
    )
    made = films.film(pixels, syntax=JPEGBaseline8Bit, pixel_data=encapsulate([out.getvalue()]))
    with film.opened(films.save(tmp_path, "film.dcm", made), is_picture=False) as opened:
        assert opened.shown(0).pixels.shape == (*size, 3)


# Of pydicom and pydicom-data: what many machines' encoders wrote.
REAL = [
    "JPEG-LL.dcm",
    "JPEG-lossy.dcm",
    "JPGExtended.dcm",
    "JPGLosslessP14SV1_1s_1f_8b.dcm",
    "SC_jpeg_no_color_transform.dcm",
    "SC_jpeg_no_color_transform_2.dcm",
    "SC_rgb_dcmtk_+eb+cr.dcm",
    "SC_rgb_dcmtk_+eb+cy+n1.dcm",
    "SC_rgb_dcmtk_+eb+cy+n2.dcm",
    "SC_rgb_dcmtk_+eb+cy+np.dcm",
    "SC_rgb_dcmtk_+eb+cy+s2.dcm",
    "SC_rgb_dcmtk_+eb+cy+s4.dcm",
    "SC_rgb_jpeg_app14_dcmd.dcm",
    "SC_rgb_jpeg_dcmtk.dcm",
    "SC_rgb_jpeg_gdcm.dcm",
    "SC_rgb_jpeg_lossy_gdcm.dcm",
    "SC_rgb_small_odd_jpeg.dcm",
    "bad_sequence.dcm",
    "color3d_jpeg_baseline.dcm",
    "examples_ybr_color.dcm",
]


@pytest.mark.parametrize("name", REAL)
def test_a_real_file_is_taken_as_whole_and_refused_once_cut(tmp_path: Path, name: str) -> None:
    path = get_testdata_file(name, download=False)
    assert isinstance(path, str)
    with film.opened(Path(path), is_picture=False) as opened:
        whole = opened.grey(0)
    found = dcmread(path)
    frames = int(found.get("NumberOfFrames") or 1)
    stream = get_frame(found.PixelData, 0, number_of_frames=frames)
    first = begin(stream)
    for kept in (1.0, 0.5):
        end = stream.rindex(EOI)
        cut = stream[: first + int((end - first) * kept)].rstrip(b"\xff") + EOI
        found.PixelData = encapsulate([cut])
        found["PixelData"].is_undefined_length = True
        found.NumberOfFrames = 1
        found.save_as(tmp_path / "cut.dcm")
        with film.opened(tmp_path / "cut.dcm", is_picture=False) as opened:
            if kept == 1.0:
                np.testing.assert_array_equal(opened.grey(0), whole)
            else:
                with pytest.raises(Undecodable):
                    opened.grey(0)


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
    grey, out = ultrasound() if pixels is None else pixels, io.BytesIO()
    Image.fromarray(np.stack([grey] * samples, axis=-1).squeeze()).save(out, "JPEG", quality=90, **how)
    return out.getvalue()


def larger(samples: int, **how: Any) -> bytes:
    """A film of 8 bits."""
    shapes = [films.shapes(number, LARGER, LARGER, top=255).astype(np.uint8) for number in range(samples)]
    out = io.BytesIO()
    Image.fromarray(np.stack(shapes, axis=-1).squeeze()).save(out, "JPEG", **how)
    return out.getvalue()


# How large a part of the trials may at most be taken for whole, and be so with pixels that are off on the average by
# more than a grey level in 256.  The last code of whichever are taken ends where it should.
ANYWHERE: dict[str, tuple[float, float, Callable[[], bytes]]] = {
    **{kind: (taken, off, STREAMS[kind][2]) for kind, taken, off in (
        ("baseline", 0.12, 0.05), ("baseline, restarts", 0.12, 0.05), ("progressive", 0.06, 0.02),
        ("extended", 0.15, 0.1), ("lossless", 0.0, 0.0), ("lossless, restarts", 0.0, 0.0))},
    "a larger film": (0.12, 0.1, lambda: larger(1, quality=95)),
    "a larger film with its own tables": (0.12, 0.1, lambda: larger(1, quality=95, optimize=True)),
    "a larger film in colour": (0.12, 0.1, lambda: larger(3, quality=85)),
    "ultrasound": (0.14, 0.1, lambda: screen(1)),
    "ultrasound as RGB": (0.28, 0.2, lambda: screen(3)),
    "ultrasound as RGB, chroma of each pixel": (0.14, 0.08, lambda: screen(3, subsampling=0)),
    # Of its last scan, which makes it finer by one bit, a part may be lost unseen, and is seen by nobody.
    "a larger film, progressive": (0.6, 0.02, lambda: larger(1, quality=95, progressive=True)),
}  # fmt: skip


def decoded(stream: bytes) -> Pixels:
    """As of a DICOM object that says of its size what *stream* says."""
    size, depth = codestream.size(stream), codestream.depth(stream)
    if size is None or depth is None:
        raise Undecodable(detail="no header")
    codestream.check(stream, *size, rle=False, frame_bytes=0)
    if depth.bits == 8 and LOSSLESS not in stream:
        return jpeg8.decode(stream, depth.samples).astype(np.float64)
    return jpeg_deep.decode(stream, depth.samples, 8 * -(-depth.bits // 8)).astype(np.float64) / (1 << depth.bits - 8)


@pytest.mark.parametrize("kind", ANYWHERE)
def test_a_part_lost_anywhere_is_found_but_for_few(kind: str) -> None:
    """Up to 200 bytes of the coded data are taken out, and the stream is ended as it should be."""
    most_taken, most_off, encode = ANYWHERE[kind]
    taken, off = lost_from(kind, encode())
    assert taken <= most_taken * TRIALS
    assert off <= most_off * TRIALS


def lost_from(kind: str, stream: bytes) -> tuple[int, int]:
    """Of `TRIALS` losses how many are taken for whole, and how many of those are off; they are printed."""
    chance, taken, off, whole = random.Random(20), 0, 0, decoded(stream)
    for _ in range(TRIALS):
        lost = chance.randint(1, 200)
        at = chance.randint(begin(stream), len(stream) - 2 - lost)
        with suppress(Undecodable, *BROKEN):
            pixels = decoded((stream[:at] + stream[at + lost : -2]).rstrip(b"\xff") + EOI)
            taken += 1
            off += np.abs(pixels - whole).mean() > 1
    print(f"{kind}: {taken} of {TRIALS} streams taken for whole, {off} of them with pixels that are off")
    return taken, off


@pytest.mark.parametrize("samples", [1, 3])
def test_a_part_lost_from_real_ultrasound_is_found_but_for_few(samples: int) -> None:
    files = [path for path in sorted(shared("data", "breast-ultrasound").rglob("*.png")) if "mask" not in path.name]
    with Image.open(files[0]) as image:
        stream = screen(samples, np.asarray(image.convert("L")))
    taken, off = lost_from(f"real ultrasound of {samples} samples", stream)
    assert off <= taken <= 0.25 * TRIALS


def test_the_frames_of_a_clip_are_counted_too(tmp_path: Path) -> None:
    """A loss that decodes to as many blocks as there were is found only where codes do not come out."""
    stream = screen(3, ultrasound(600, 800))
    found = 0
    for number in range(20):
        at = begin(stream) + number * 1000
        lost = (stream[:at] + stream[at + 150 :]).replace(b"\xff\xff", b"\xff\0")
        made = films.film(np.zeros((600, 800, 3), np.uint8), syntax=JPEGBaseline8Bit,
                          pixel_data=encapsulate([stream] * 99 + [lost]), NumberOfFrames=100)  # fmt: skip
        with film.opened(films.save(tmp_path, "clip.dcm", made), is_picture=False) as opened:
            assert opened.grey(98).shape == (600, 800)
            with suppress(Undecodable):
                opened.grey(99)
                continue
            found += 1
    assert found >= 18


def test_blocks_lighter_than_any_are_found_in_colour_where_codes_are_not_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of a film so large that counting would take too long, its levels are looked at, and then its codes."""
    stream, counted = screen(3), 0
    whole = coded_runs.MOST_WORK
    for number in range(40):
        at = begin(stream) + number * 300
        lost = (stream[:at] + stream[at + 60 : -2]).rstrip(b"\xff") + EOI
        monkeypatch.setattr(coded_runs, "_MOST_WORK_OF_ALL", 0)
        by_levels = is_refused(lost)
        monkeypatch.setattr(coded_runs, "MOST_WORK", 0)
        by_filler = is_refused(lost)
        monkeypatch.setattr(coded_runs, "MOST_WORK", whole)
        assert by_levels or not by_filler
        counted += by_levels and not by_filler
    assert counted >= 2


@pytest.mark.parametrize("samples", [1, 3])
def test_a_sector_of_zeros_is_found_wherever_it_lies(samples: int) -> None:
    stream = screen(samples)
    for at in range(begin(stream), len(stream) - 514, 150):
        assert is_refused(stream[:at] + bytes(512) + stream[at + 512 :])


@pytest.mark.parametrize("optimize", [False, True])
def test_flat_blocks_whose_codes_are_zeros_are_read(optimize: bool) -> None:
    dots = np.zeros((800, 800), np.uint8)
    dots[::100, ::100] = 255
    stream = screen(1, dots, optimize=optimize)
    assert not is_refused(stream)
    assert (bytes(128) in stream) == optimize


def is_refused(stream: bytes) -> bool:
    try:
        decoded(stream)
    except (Undecodable, *BROKEN):
        return True
    return False


# --- more frames than the header names ----------------------------------------------------------------------------


def three(syntax: str) -> tuple[FileDataset, Pixels]:
    frames = np.stack([slope(8), slope(8)[::-1], slope(8).T[::-1]])
    if syntax == "native":
        return films.film(frames[0], pixel_data=frames.tobytes()), frames
    if syntax == "lossless":
        streams = [lossless_jpeg.encoded(frame, 8) for frame in frames]
        return films.film(frames[0], syntax=JPEGLosslessSV1, pixel_data=encapsulate(streams, has_bot=False)), frames
    if syntax == "run lengths":
        streams = []
        for frame in frames:
            one = films.film(np.ascontiguousarray(frame))
            one.compress(RLELossless)
            streams.append(get_frame(one.PixelData, 0, number_of_frames=1))
        return films.film(frames[0], syntax=RLELossless, pixel_data=encapsulate(streams)), frames
    streams = []
    for frame in frames:
        out = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(frame)).save(out, "JPEG", quality=95)
        streams.append(out.getvalue())
    return films.film(frames[0], syntax=JPEGBaseline8Bit, pixel_data=encapsulate(streams)), frames


@pytest.mark.parametrize("named", [None, 1, 0, -3, 2])
@pytest.mark.parametrize("syntax", ["native", "lossless", "baseline", "run lengths"])
def test_frames_beyond_those_of_the_header_are_told_of(tmp_path: Path, syntax: str, named: int | None) -> None:
    made, frames = three(syntax)
    if named is not None:
        made.NumberOfFrames = named
    with film.opened(films.save(tmp_path, "film.dcm", made), is_picture=False) as opened:
        assert opened.frames == max(1, named or 1)
        last = opened.frames - 1
        np.testing.assert_allclose(opened.grey(last), frames[last], atol=8 if syntax == "baseline" else 0)
        assert FRAMES_LEFT in opened.hints


@pytest.mark.parametrize("syntax", ["native", "lossless", "baseline", "run lengths"])
def test_nothing_is_told_where_the_header_names_every_frame(tmp_path: Path, syntax: str) -> None:
    made, frames = three(syntax)
    made.NumberOfFrames = 3
    with film.opened(films.save(tmp_path, "film.dcm", made), is_picture=False) as opened:
        np.testing.assert_allclose(opened.grey(2), frames[2], atol=8 if syntax == "baseline" else 0)
        assert opened.hints == ()


def test_one_frame_in_several_fragments_is_not_several_frames(tmp_path: Path) -> None:
    stream = lossless()
    items = b"".join(
        b"\xfe\xff\x00\xe0" + len(piece).to_bytes(4, "little") + piece
        for piece in (b"", stream[:1000], stream[1000:2000], stream[2000:] + b"\0" * (len(stream) % 2))
    )
    made = films.film(slope(8), syntax=JPEGLosslessSV1, pixel_data=items + b"\xfe\xff\xdd\xe0\0\0\0\0")
    with film.opened(films.save(tmp_path, "film.dcm", made), is_picture=False) as opened:
        np.testing.assert_array_equal(opened.grey(0), slope(8))
        assert opened.hints == ()


def test_a_padded_value_is_not_a_second_frame(tmp_path: Path) -> None:
    pixels = np.full((1, 1), 7, np.uint8)
    with film.opened(films.save(tmp_path, "film.dcm", films.film(pixels)), is_picture=False) as opened:
        assert opened.grey(0).shape == (1, 1)
        assert opened.hints == ()
