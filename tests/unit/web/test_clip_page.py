"""The page opens a clip on the frame that its heat map is of, and lays the map over no other."""

from __future__ import annotations

from firmware_app.core.records import Finding, FramesRead, PackIdentity, Reading, ReadingStatus, Scope, Timing
from web.case_page import Image

PACK = PackIdentity("toy", "0.0.1", "onnxruntime", "fp32")


def reading(frames: FramesRead | None) -> Reading:
    findings = (Finding("mass", {"en": "Mass"}, 0.9, 0.5), Finding("cyst", {"en": "Cyst"}, 0.2, 0.5))
    made = (Scope.INSTANCE, ("i",), ReadingStatus.READ, None, PACK, Timing(0, 0, 0), findings)
    return Reading(*made, frames=frames)


def test_a_clip_opens_on_the_frame_of_its_strongest_finding() -> None:
    frames = FramesRead(900, (17, 400, 880), {"mass": 400, "cyst": 17})
    image = Image("i", (0, 17, 400, 880, 899), 900, reading(frames))
    assert (image.heat, image.frame, image.heat_frame) == ("mass", 400, 400)


def test_a_film_and_a_clip_that_was_not_read_open_in_the_middle_with_a_map_for_all() -> None:
    assert (Image("i", (0,), 1, reading(None)).frame, Image("i", (0,), 1, reading(None)).heat_frame) == (0, None)
    assert Image("i", tuple(range(5)), 5, None).frame == 2
    assert Image("i", (), 0, None).frame == 0
