"""The page “Live”: the newest frame of a running examination with its marks, and a frame that a doctor keeps."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import clips
from tests.browser.clinic import BrowserUser, Clinic

PACK = "toy-outlines"
LATER = "const done = arguments[0]; setTimeout(() => done(document.getElementById('said').textContent), 500)"
"""What the page says when it has looked twice more."""


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    path.write_bytes(clips.encode_clip("mpeg4", "mp4", 50, 4))
    return path


def frame(doctor: BrowserUser, fact: str) -> str:
    return str(doctor.find("#frame").get_attribute(f"data-{fact}"))


def test_a_doctor_sees_the_examination_move_with_figures_and_marks(
    doctor: BrowserUser, box: Clinic, clip: Path
) -> None:
    with box.run_watch(str(clip), "--loop", "--pack", PACK):

        def called() -> bool:
            doctor.driver.get(f"{box.url}/")
            return bool(doctor.all("nav a[href='/live']"))

        doctor.until(called)
        doctor.press("nav a[href='/live']")
        first = int(doctor.until(lambda: frame(doctor, "sequence") not in ("None", "") and frame(doctor, "sequence")))
        doctor.until(lambda: int(frame(doctor, "sequence")) > first + 20)
        assert int(doctor.find("#read").text) > 0
        assert float(doctor.find("#delay").text) > 0
        assert "亮" in doctor.find("#findings").text
        assert PACK in doctor.find("#pack").text
        doctor.choose_language("en")
        doctor.until(lambda: "Bright" in doctor.find("#findings").text)
        doctor.choose_language("zh_CN")
    doctor.until(lambda: frame(doctor, "old") == "1")
    assert doctor.all("#findings li") == [], "no mark stands over a picture that has moved on"
    doctor.until(lambda: "lantern watch" in doctor.find("#said").text)
    assert "lantern watch" in doctor.driver.execute_async_script(LATER), "how old the frame is does not replace why"


def test_a_frame_is_stored_only_when_a_doctor_keeps_it(doctor: BrowserUser, box: Clinic, clip: Path) -> None:
    before = box.lantern("case", "list", "--json").splitlines()
    with box.run_watch(str(clip), "--loop", "--pack", PACK):
        doctor.driver.get(f"{box.url}/live")
        doctor.until(lambda: doctor.find("#keep button").is_enabled())
        assert box.lantern("case", "list", "--json").splitlines() == before
        doctor.press("#keep button")
        doctor.until(lambda: doctor.all("#kept a"))
        assert len(box.lantern("case", "list", "--json").splitlines()) == len(before) + 1
        doctor.press("#kept a")
        doctor.wait_for_film()


def test_without_an_examination_the_page_says_how_to_begin_one(doctor: BrowserUser, box: Clinic) -> None:
    doctor.driver.get(f"{box.url}/live")
    doctor.until(lambda: "lantern watch" in doctor.find("#said").text)
    assert not doctor.find("#keep button").is_enabled()
