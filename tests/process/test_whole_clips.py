"""A long clip is shown whole: its frames in between come after its reading, as light pictures, and none twice."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.core.state_dir import StateDir, free_bytes
from firmware_app.imaging import display
from firmware_app.reading.decoder import DecodedImage, Decoder
from firmware_app.reading.reader_steps import ClipCompletion
from tests import films
from tests.finished import open_state
from tests.small_disk import small_disk

FRAMES = 150


def long_clip(folder: Path) -> Path:
    greys = np.concatenate([np.full((32, 48), 10 * at, np.uint16) for at in range(FRAMES)])
    return films.save(folder, "long.dcm", films.film(greys, Rows=32, NumberOfFrames=FRAMES, BitsStored=12, HighBit=11))


def file_of(clinical: ClinicalDatabase, instance: str) -> str:
    row = clinical.database.connection.execute("SELECT file FROM instances WHERE reference = ?", (instance,)).fetchone()
    return str(row[0])


def read_shown_frame(state: StateDir, instance: str) -> dict[str, object]:
    facts: dict[str, object] = json.loads((state.display / instance / "frame-000.json").read_text("utf-8"))
    return facts


def test_every_frame_of_a_long_clip_is_there_in_the_end(tmp_path: Path) -> None:
    state, clinical, door = open_state(tmp_path / "state")
    instance = door.accept_file(long_clip(tmp_path)).instance
    decoder = Decoder(1024, 30.0)
    try:
        clips = ClipCompletion(state, clinical, decoder)
        assert not clips.step()
        folder, path = state.display / instance, state.root / file_of(clinical, instance)
        decoded = decoder.begin(path, False, None, folder)
        assert isinstance(decoded, DecodedImage)
        assert decoder.end()
        full = read_shown_frame(state, instance)["shown"]
        clips.add(instance, decoded.frames)
        while clips.step():
            assert len(list(folder.glob("frame-*.json"))) >= display.MOST_FRAMES
        facts = read_shown_frame(state, instance)
        assert (facts["full"], facts["frames_shown"], "shown" in facts) == (full, FRAMES, False)
        assert len(list(folder.glob("frame-*.json"))) == FRAMES
        assert len(list(folder.glob("frame-*.png"))) == display.MOST_FRAMES
        assert len(list(folder.glob("frame-*-screen.jpg"))) == FRAMES - display.MOST_FRAMES
    finally:
        decoder.close()
        clinical.database.close()


def test_a_full_disk_keeps_the_clip_waiting_and_it_is_whole_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, clinical, door = open_state(tmp_path / "state")
    instance = door.accept_file(long_clip(tmp_path)).instance
    decoder = Decoder(1024, 30.0)
    with small_disk(state.display, "size=4m") as disk:
        try:
            clips = ClipCompletion(state, clinical, decoder)
            path = state.root / file_of(clinical, instance)
            decoded = decoder.begin(path, False, None, disk / instance)
            assert isinstance(decoded, DecodedImage)
            assert decoder.end()
            clips.add(instance, decoded.frames)
            filler = disk / "filler"
            with filler.open("wb") as handle:
                os.posix_fallocate(handle.fileno(), 0, free_bytes(disk))
            while clips.step():  # what fits into a page that is left
                pass
            assert not clips.step(), "nor is it tried at once"
            assert read_shown_frame(state, instance)["frames_shown"] == display.MOST_FRAMES
            filler.unlink()
            monkeypatch.setattr(clips, "_pause_until", 0.0)
            while clips.step():
                pass
            assert read_shown_frame(state, instance)["frames_shown"] == FRAMES
        finally:
            decoder.close()
            clinical.database.close()
