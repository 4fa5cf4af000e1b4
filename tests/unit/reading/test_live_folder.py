"""What `lantern watch` and the viewer tell each other in memory, and when a frame of a stream came."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cli.live_examination import LivePage
from firmware_app.core import live_frame as live
from firmware_app.core.live_frame import FrameRequest, LiveFolder, LiveFrame
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir
from firmware_app.imaging.live_frames import PacketClock
from tests import objects

if TYPE_CHECKING:
    from firmware_app.packs.manifest import Manifest
    from firmware_app.reading.live_session import LiveSession


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[LiveFolder]:
    made = LiveFolder(tmp_path)
    yield made
    made.remove()
    assert not made.path.exists()


def test_what_is_told_comes_out_as_it_went_in(folder: LiveFolder) -> None:
    assert live.read_live_frame(folder.path) is None
    told = LiveFrame({"event": "frame", "sequence": 3, "label": "乳腺"}, b"\xff\xd8jpeg", b"png")
    folder.publish(told)
    assert live.read_live_frame(folder.path) == told


@pytest.mark.parametrize(
    "data", [b"", b"\1\0\0\0", LiveFrame({"a": 1}, b"12").to_bytes()[:-1], b"\2\0\0\0" + bytes(8) + b"[]"]
)
def test_what_is_cut_short_is_nothing(folder: LiveFolder, data: bytes) -> None:
    (folder.path / "newest").write_bytes(data)
    assert live.read_live_frame(folder.path) is None


def test_a_wish_is_heard_once_and_what_is_none_is_removed_unread(folder: LiveFolder, tmp_path: Path) -> None:
    live.request_frame(folder.path, 17, "陈医生")
    (folder.path / "wish-junk").write_text("{")
    (tmp_path / "secret").write_text(json.dumps({"sequence": 1, "actor": "x"}))
    (folder.path / "wish-link").symlink_to(tmp_path / "secret")
    assert folder.take_requests() == [FrameRequest(17, "陈医生")]
    assert folder.take_requests() == []
    assert (tmp_path / "secret").exists()


def test_only_a_folder_of_its_own_kind_is_removed_after_a_kill(folder: LiveFolder, tmp_path: Path) -> None:
    other = tmp_path / "images"
    other.mkdir()
    for name in (other, None, "", 7):
        live.remove_stale_folder(name)
    assert other.is_dir()
    live.remove_stale_folder(str(folder.path))
    assert not folder.path.exists()


def test_a_frame_that_waited_in_a_buffer_came_when_its_packet_says() -> None:
    clock = PacketClock()
    assert clock.estimate_arrival(10.0, 100.0) == 100.0
    assert clock.estimate_arrival(10.04, 100.24) == pytest.approx(100.04), "decoded 0.2 s late"
    assert clock.estimate_arrival(10.08, 100.07) == 100.07, "the quickest packet sets the measure"
    assert clock.estimate_arrival(None, 101.0) == 101.0


class Kept:
    """A watching whose kept frames are objects of the study that it is told."""

    def keep(self, sequence: int, path: Path, _body_part: str, study: str) -> None:
        path.write_bytes(objects.file_of(objects.film(study=study, sop_instance=f"1.2.4.{sequence}")))


def test_each_kept_frame_is_a_case_of_its_own_since_the_next_may_be_of_another_patient(
    folder: LiveFolder, state: StateDir, clinical: ClinicalDatabase
) -> None:
    manifest = SimpleNamespace(route=SimpleNamespace(body_parts=()))
    page = LivePage(folder, state, clinical, Config(), cast("Manifest", manifest))
    for sequence in (1, 2):
        live.request_frame(folder.path, sequence, "li")
        page.keep_requested_frames(cast("LiveSession", Kept()))
    assert len(clinical.list_references()) == 2
