"""`lantern watch`: frames of a running examination are read one after another, the newest first."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path

import numpy as np
import psutil
import pytest

from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cli.live_examination import ArrivingImages
from firmware_app.core.errors import LanternError
from firmware_app.packs.pack_folder import find_pack
from firmware_app.reading import live_session
from firmware_app.reading.frame_grabber import FrameRefused, FrameSource
from firmware_app.reading.live_session import LiveReading, LiveSession, SessionEvent
from tests import clips, films, peers, reading_rig, toy_pack

PACK = "toy-lesions"
RATE_HZ = 25


@pytest.fixture(scope="module")
def packs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packs")
    pack = toy_pack.write(folder, PACK, "adult", 18, None)
    toy_pack.make_segmenter(pack, "US", "BREAST")
    return folder


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    path.write_bytes(clips.encode_clip("mpeg4", "mp4", 2 * RATE_HZ))
    return path


class Examination:
    """A watching of one source, whose folder is a temporary one."""

    def __init__(self, folder: Path, packs: Path, source: FrameSource) -> None:
        (folder / "maps").mkdir()
        self.watching = LiveSession(source, find_pack(packs, PACK), reading_rig.config(folder, packs), folder / "maps")

    def __enter__(self) -> Iterator[LiveReading | SessionEvent]:
        return self.watching.stream_readings()

    def __exit__(self, *_: object) -> None:
        self.watching.close()


def take_readings(events: Iterator[LiveReading | SessionEvent], most: int) -> list[LiveReading]:
    return list(islice((event for event in events if isinstance(event, LiveReading)), most))


def test_a_clip_is_read_to_its_end_and_every_frame_is_read_or_counted_as_dropped(
    tmp_path: Path, packs: Path, clip: Path
) -> None:
    with Examination(tmp_path, packs, FrameSource("file", str(clip))) as events:
        told = list(events)
    readings = [one for one in told if isinstance(one, LiveReading)]
    assert [one.event for one in told if isinstance(one, SessionEvent)] == ["opened", "ended"]
    assert [reading.sequence for reading in readings] == sorted({reading.sequence for reading in readings})
    last = readings[-1].counts
    assert last.came == 2 * RATE_HZ == last.read + last.dropped
    assert last.read == len(readings)
    assert readings[-1].sequence == 2 * RATE_HZ - 1, "the newest frame is never the one that is dropped"


def test_a_frame_has_findings_lesions_and_the_pack_that_says_so(tmp_path: Path, packs: Path, clip: Path) -> None:
    with Examination(tmp_path, packs, FrameSource("file", str(clip), loop=True)) as events:
        (one,) = take_readings(events, 1)
    assert one.reason is None
    assert [finding.code for finding in one.findings] == ["bright"]
    assert one.pack is not None
    assert one.pack.name == PACK
    assert bytes(one.jpeg[:2]) == b"\xff\xd8"
    assert one.delay_ms > 0


def test_a_frame_that_is_not_fit_has_a_reason_and_no_number(tmp_path: Path, packs: Path) -> None:
    dark = films.save(tmp_path, "dark.dcm", films.film(np.zeros((64, 64), np.uint16), Modality="US"))
    with Examination(tmp_path, packs, FrameSource("file", str(dark), loop=True)) as events:
        (one,) = take_readings(events, 1)
    assert one.reason is not None
    assert one.reason.code == "quality.blank"
    assert one.findings == ()
    assert len(one.jpeg) > 0, "people see it all the same"


@pytest.mark.parametrize("broken", ["cut", "no video"])
def test_a_hostile_video_is_refused_with_its_code(tmp_path: Path, packs: Path, clip: Path, broken: str) -> None:
    bad = tmp_path / "bad.mp4"
    data = clip.read_bytes()
    bad.write_bytes(data[: len(data) // 2] if broken == "cut" else data[:64] + os.urandom(4000))
    with pytest.raises(FrameRefused) as refused, Examination(tmp_path, packs, FrameSource("file", str(bad))) as events:
        list(events)
    assert refused.value.reason.code == "imaging.undecodable"
    assert isinstance(refused.value.to_error(), LanternError)


@pytest.fixture
def camera(tmp_path: Path) -> Iterator[str]:
    """The address of a camera that plays two seconds of H.264 to whoever asks."""
    (tmp_path / "camera.mp4").write_bytes(clips.encode_clip("libx264", "mp4", 2 * RATE_HZ, g="25", bf="0"))
    called = ["/usr/bin/python3", str(Path(__file__).with_name("rtsp_server.py")), str(tmp_path / "camera.mp4")]
    with subprocess.Popen(called, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        try:
            assert server.stdout is not None
            port = server.stdout.readline().strip()
            if not port:
                peers.skip_missing_packages(
                    "python3-gi", "gir1.2-gst-rtsp-server-1.0", "gstreamer1.0-plugins-good", "gstreamer1.0-plugins-bad"
                )
            yield f"rtsp://127.0.0.1:{port}/us"
        finally:
            server.kill()


def test_a_camera_is_read_over_rtsp_and_asked_again_when_it_breaks_off(
    tmp_path: Path, packs: Path, camera: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_session, "_PAUSES_S", (0.05,))
    with Examination(tmp_path, packs, FrameSource("stream", camera)) as events:
        told: list[SessionEvent] = []
        readings: list[LiveReading] = []
        for event in events:
            if isinstance(event, SessionEvent):
                told.append(event)
            else:
                readings.append(event)
            if len(told) == 3 and readings[-1].counts.came > told[-1].counts.came:
                break
    assert [one.event for one in told] == ["opened", "lost", "opened"]
    assert [reading.sequence for reading in readings] == sorted({reading.sequence for reading in readings})
    assert (readings[0].rows, readings[0].columns) == (clips.ROWS, clips.COLUMNS)


def test_images_that_come_over_dicom_are_shown_newest_first_and_those_passed_over_are_counted(
    tmp_path: Path, packs: Path
) -> None:
    """The door has taken three images while one was read: the last of them is shown next, two are passed over."""
    config = reading_rig.config(tmp_path, packs)
    with (
        reading_rig.rig(config) as box,
        closing(LiveSession(FrameSource("dicom", ""), find_pack(packs, PACK), config, tmp_path)) as made,
    ):
        feed = ArrivingImages(
            ClinicalDatabase(box.state.clinical_db), box.state, "US"
        )  # its own connection, as in a process of its own

        def come(number: int) -> None:
            box.admit(films.film(films.shapes(number, 96, 80), Modality="US", BodyPartExamined="BREAST"))

        box.admit(films.film(films.shapes(9, 96, 80), Modality="CR"))
        told = (arrival for arrival in made.stream_arrivals(feed.poll_newest) if arrival is not None)
        assert isinstance(next(told), SessionEvent)
        come(1)
        first = next(told)
        for number in (2, 3, 4):
            come(number)
        second = next(told)
    assert isinstance(first, LiveReading)
    assert isinstance(second, LiveReading)
    assert [(one.counts.came, one.counts.dropped) for one in (first, second)] == [(1, 0), (4, 2)]
    assert second.findings


def command(packs: Path, tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "LANTERN_PACKS__DIR": str(packs),
        "LANTERN_STATE__DIR": str(tmp_path / "no-state"),
        "LANTERN_BOX__LANGUAGE": "en",
        "LANTERN_READER__PRECISION": "fp32",
    }
    called = [sys.executable, "-m", "firmware_app", "watch", *arguments]
    return subprocess.run(called, env=environment, capture_output=True, text=True, check=False, timeout=120)


def test_nobody_else_sees_the_address(tmp_path: Path, packs: Path) -> None:
    (tmp_path / "address").write_text("rtsp://u:secret@127.0.0.1:9/stream\n")
    made = Examination(tmp_path, packs, FrameSource("stream", "rtsp://u:secret@127.0.0.1:9/stream"))
    with closing(made.watching):
        assert "secret" not in " ".join(psutil.Process(made.watching.pid).cmdline())
    done = command(packs, tmp_path, f"@{tmp_path / 'address'}")
    assert done.stderr.startswith("watch.unreachable: ")
