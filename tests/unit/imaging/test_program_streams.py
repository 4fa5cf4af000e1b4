"""MPEG program streams promise no number of frames: whole ones are read, and lost frames are not passed over."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.core.errors import Undecodable
from firmware_app.core.state_dir import StateDir
from firmware_app.dicom import picture_formats
from firmware_app.dicom.errors import END_NOT_MARKED
from firmware_app.imaging.clip import BIT_STREAMS, FILE_FORMATS, Track
from firmware_app.ingest.intake import ImageIntake
from tests import peers
from tests.refusals import raises_refusal
from tests.wire import bombs

FRAMES = 100
PACK = b"\0\0\1\xba"
RATES = [Fraction(25), Fraction(30000, 1001)]


def still(rate: Fraction) -> bytes:
    """The frozen picture of a machine: its frames are so short that many share a pack."""
    blocks = np.random.default_rng(5).integers(0, 160, (30, 40), dtype=np.uint8)
    picture = np.kron(blocks, np.ones((8, 8), np.uint8))
    return encode_mpeg2(rate, 2_000_000, lambda _: picture)


def sweep(rate: Fraction) -> bytes:
    """A small one, in which a ramp walks on."""
    ramp = np.tile(np.linspace(0, 255, 64).astype(np.uint8), (48, 1))
    return encode_mpeg2(rate, 1_000_000, lambda number: np.roll(ramp, number * 3, axis=1))


def encode_mpeg2(rate: Fraction, bits: int, picture: Callable[[int], np.ndarray[Any, Any]]) -> bytes:
    """MPEG-2 with B frames, *rate* frames and *bits* a second."""
    try:
        import av
    except ImportError:
        peers.skip_or_fail("needs PyAV (extra video)")
    file = io.BytesIO()
    with av.open(file, "w", format="mpeg") as clip:
        stream: Any = clip.add_stream("mpeg2video", rate=rate, options={"bf": "2", "g": "12"})
        stream.height, stream.width = picture(0).shape
        stream.pix_fmt, stream.thread_count, stream.bit_rate = "yuv420p", 1, bits
        for number in range(FRAMES):
            pixels = np.repeat(picture(number)[..., np.newaxis], 3, axis=2)
            for packet in stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")):
                clip.mux(packet)
        for packet in stream.encode(None):
            clip.mux(packet)
    return file.getvalue()


def frames_of(stream: bytes, formats: tuple[str, ...] = FILE_FORMATS) -> int:
    """How many are there, each of which is read."""
    track = Track(io.BytesIO(stream), formats)
    try:
        for index in range(track.frames):
            track.frame(index)
        return track.frames
    finally:
        track.close()


@pytest.mark.parametrize("rate", RATES, ids=str)
@pytest.mark.parametrize("make", [still, sweep])
def test_a_whole_stream_is_read_though_frames_share_packs(make: Callable[[Fraction], bytes], rate: Fraction) -> None:
    stream = make(rate)
    assert picture_formats.is_complete_program_stream(stream)
    assert frames_of(stream) == FRAMES
    assert frames_of(stream, BIT_STREAMS) == FRAMES


@pytest.mark.parametrize("make", [still, sweep])
def test_no_lost_pack_is_passed_over(make: Callable[[Fraction], bytes]) -> None:
    stream = make(RATES[0])
    packs = [at for at in range(0, len(stream), 2048) if stream.startswith(PACK, at)]
    assert len(packs) > 4
    for begin, end in pairwise(packs[1:]):
        with pytest.raises(Undecodable):
            frames_of(stream[:begin] + stream[end:])


@pytest.fixture
def door(tmp_path: Path) -> Iterator[ImageIntake]:
    state = StateDir(tmp_path / "state")
    state.prepare()
    clinical = ClinicalDatabase(state.clinical_db)
    clinical.create()
    yield ImageIntake(state, clinical, high_water_free_mb=1, max_object_mb=64)
    clinical.database.close()


def test_a_stream_whose_end_is_not_marked_is_not_called_incomplete(tmp_path: Path, door: ImageIntake) -> None:
    path = tmp_path / "clip.mpg"
    path.write_bytes(still(RATES[0])[: -3 * 2048])
    with raises_refusal(END_NOT_MARKED, match=r"intake\.end_not_marked: .*whether it is whole.*save it as MP4"):
        door.accept_file(path)


def test_a_long_stream_is_whole_however_many_packets_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 2 KB with a header before each, as FFmpeg writes them: 53 MB of these are more than 50,000 of the two."""
    monkeypatch.setattr(picture_formats, "_MOST_PACKETS", 50_000)  # a tenth
    pack = PACK + b"\x21" * 8 + b"\0\0\1\xe0" + (2030).to_bytes(2) + bytes(2030)
    stream = pack * 26_000 + b"\0\0\1\xb9"
    assert picture_formats.is_complete_program_stream(stream)
    assert not picture_formats.is_complete_program_stream(stream[: -len(pack)])
    assert not picture_formats.is_complete_program_stream(bombs.mpeg_of_packets(200_000))
