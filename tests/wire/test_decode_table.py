"""What the box decodes is what other people's decoders make of it; what it refuses, it refuses with a code."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from firmware_app.imaging.codec.stored_frames import FrameReader
from tests import peers
from tests.wire import decode_table
from tests.wire.decode_peers import PeerMissing, Words
from tests.wire.decode_table import Line

# Made broken on purpose: a length that is none, a number that is none, a size that is none, and two that were cut.
BROKEN = {
    "badVR.dcm",
    "JPEG2000-embedded-sequence-delimiter.dcm",
    "MR_truncated.dcm",
    "emri_small_jpeg_2k_lossless_too_short.dcm",
    "image_dfl.dcm",  # a deflated data set, which the door refuses
}


def lines(folders: Iterable[Path]) -> list[Line]:
    peers.needed("dcmconv", "dcmdjpeg", "dcmdjpls", "dcmdrle")
    try:
        return [decode_table.compare_file(path) for path in decode_table.files(folders)]
    except PeerMissing as missing:
        peers.skip_or_fail(f"needs {missing}")


def faults(examined: list[Line]) -> list[str]:
    return [
        f"{line.name}: {line.verdict} {line.most:g} {line.note}"
        for line in examined
        if line.verdict in ("DIFFERS", "no peer")
    ]


@pytest.mark.timeout(300)
def test_every_public_file_is_decoded_as_others_decode_it_or_refused() -> None:
    examined = lines(decode_table.list_public_folders())
    assert faults(examined) == []
    assert {line.name for line in examined if line.verdict == "refused"} == BROKEN
    assert all("imaging." in line.note for line in examined if line.verdict == "refused")
    same = {line.syntax for line in examined if line.verdict in ("equal", "within 2")}
    assert {line.syntax for line in examined if line.frames} == same
    assert len(same) >= 11
    lossless = [line for line in examined if "Lossless" in line.syntax and line.frames]
    assert lossless
    assert {line.verdict for line in lossless} == {"equal"}


@pytest.mark.timeout(300)
def test_every_shared_file_is_decoded_as_others_decode_it() -> None:
    examined = lines([peers.find_shared_data("data", "dicom")])
    assert faults(examined) == []
    # A CT of signed samples, some below zero, whose header says unsigned: its air would be the brightest white.
    refused = [(line.name, line.note.split(";")[0]) for line in examined if line.verdict == "refused"]
    assert refused == [("TOSHIBA_J2K_SIZ1_PixRep0.dcm", "imaging.sign")]
    assert sum(line.frames for line in examined) > len(examined) > 0


def test_a_wrong_decoder_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    peers.peer("dcmdrle")
    path = peers.pydicom_file("MR_small_RLE.dcm")
    assert decode_table.compare_file(path).verdict == "equal"
    frame = FrameReader.frame

    def one_level_off(reader: FrameReader, index: int) -> Words:
        return np.bitwise_xor(frame(reader, index).astype(np.uint16), 1)

    monkeypatch.setattr(FrameReader, "frame", one_level_off)
    assert decode_table.compare_file(path).verdict == "DIFFERS"
