"""What one image costs the decode child in memory is free again when it is done, and no image pays for another."""

from __future__ import annotations

import logging
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from firmware_app.core.records import Reason
from firmware_app.imaging.input_spec import InputSpec
from firmware_app.reading.decoder import DecodedImage, Decoder
from tests import films

MEMORY_MB = 384
SPEC = InputSpec("image", 224, 224)
ROWS, COLUMNS = 3600, 3600


@pytest.fixture
def decoder() -> Iterator[Decoder]:
    made = Decoder(MEMORY_MB, 60.0)
    made.warm()
    yield made
    made.close()


def film(folder: Path, name: str, *, blank: bool = False) -> Path:
    """A film of 13 megapixels; a *blank* one is unfit for a model."""
    pixels = np.zeros((ROWS, COLUMNS), np.uint16) if blank else films.shapes(3, ROWS, COLUMNS)
    return films.save(folder, name, films.film(pixels))


def mapped_mb(decoder: Decoder) -> int:
    return int(Path(f"/proc/{decoder.pid}/statm").read_text("ascii").split()[0]) * os.sysconf("SC_PAGE_SIZE") >> 20


def limit_memory(decoder: Decoder) -> None:
    """Leave the child 8 MB, as if the files before had kept the rest; a fresh one sets its own limit."""
    most = (mapped_mb(decoder) + 8) << 20
    resource.prlimit(decoder.pid, resource.RLIMIT_AS, (most, most))


def test_large_films_that_no_model_may_see_leave_room_for_the_one_behind_them(tmp_path: Path, decoder: Decoder) -> None:
    unfit, good = film(tmp_path, "unfit.dcm", blank=True), film(tmp_path, "good.dcm")
    child, mapped = decoder.pid, []
    for _ in range(5):
        refused = decoder.begin(unfit, False, SPEC, tmp_path / "shown")
        assert isinstance(refused, Reason)
        assert refused.code == "quality.blank"
        mapped.append(mapped_mb(decoder))
    assert mapped[-1] - mapped[1] < 16, mapped  # one film's words alone are 24 MB; the first leaves the heap as large
    assert mapped[-1] - mapped[0] < 32, mapped
    assert isinstance(decoder.begin(good, False, SPEC, tmp_path / "shown"), DecodedImage)
    assert decoder.end()
    assert decoder.pid == child


def test_an_image_that_no_childs_memory_suffices_for_is_refused_and_costs_only_the_child(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    small = films.save(tmp_path, "small.dcm", films.film(films.shapes(4, 400, 300)))
    decoder = Decoder(48, 60.0)
    try:
        decoder.warm()
        first = decoder.pid
        with caplog.at_level(logging.WARNING, "lantern.reader"):
            refused = decoder.begin(film(tmp_path, "large.dcm"), False, SPEC, tmp_path / "shown")
        assert isinstance(refused, Reason)
        assert refused.code == "imaging.memory"
        assert not caplog.records  # no fresh child is asked: it would have no more room than this one had
        assert decoder.pid != first
        assert isinstance(decoder.begin(small, False, SPEC, tmp_path / "shown"), DecodedImage)
        assert decoder.end()
    finally:
        decoder.close()


def test_an_image_that_the_fresh_child_has_room_for_is_read(tmp_path: Path, decoder: Decoder) -> None:
    path, first = film(tmp_path, "good.dcm"), decoder.pid
    limit_memory(decoder)
    assert isinstance(decoder.begin(path, False, SPEC, tmp_path / "shown"), DecodedImage)
    assert decoder.end()
    assert decoder.pid != first


def test_frames_for_people_are_tried_in_a_fresh_child_as_well(tmp_path: Path, decoder: Decoder) -> None:
    path, first = film(tmp_path, "good.dcm"), decoder.pid
    limit_memory(decoder)
    assert isinstance(decoder.begin(path, False, None, tmp_path / "shown"), DecodedImage)
    assert decoder.pid == first  # its facts alone need no room
    assert decoder.end()
    assert decoder.pid != first
    assert (tmp_path / "shown" / "frame-000.json").exists()
