"""A line on a film is as long as the machine says, and in pixels where it does not; a clip plays as it was taken."""

from __future__ import annotations

import json
import math
import re
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from tests.browser.clinic import BrowserUser, Clinic, synthetic_clip, synthetic_film


def region(**changes: Any) -> Dataset:
    """An ultrasound region of the whole film of 600 × 700, a quarter of a millimetre a pixel across and half down."""
    made = Dataset()
    attributes = {
        "RegionSpatialFormat": 1,
        "RegionDataType": 1,
        "RegionFlags": 0,
        "RegionLocationMinX0": 0,
        "RegionLocationMinY0": 0,
        "RegionLocationMaxX1": 599,
        "RegionLocationMaxY1": 699,
        "PhysicalUnitsXDirection": 3,
        "PhysicalUnitsYDirection": 3,
        "PhysicalDeltaX": 0.025,
        "PhysicalDeltaY": 0.05,
    }
    for keyword, value in {**attributes, **changes}.items():
        setattr(made, keyword, value)
    return made


def draw_line(doctor: BrowserUser, dx: int, dy: int, high: int = 700) -> float:
    """Draw a line of so many screen pixels over the middle of the film; how many pixels of the film one of them is.

    *high* is the height of the film in widths of its pixels.
    """
    if doctor.find("#measure").get_attribute("aria-pressed") != "true":
        doctor.find("#measure").click()
    canvas = doctor.find("#film")
    hands = ActionChains(doctor.driver, duration=50)
    hands.move_to_element_with_offset(canvas, -dx // 2, -dy // 2).click_and_hold()
    hands.move_by_offset(dx, dy).release().perform()
    size = canvas.size
    return 1 / min(float(size["height"]) / high, float(size["width"]) / 600)


def number(text: str) -> float:
    match = re.search(r"[\d.]+", text)
    assert match is not None, text
    return float(match[0])


@pytest.mark.parametrize(
    ("name", "said", "dx", "dy", "unit", "scale"),
    [
        ("Line Detector", {"ImagerPixelSpacing": [0.15, 0.15]}, 90, 0, "像素", 1.0),
        (
            "Line Calibrated",
            {"PixelSpacing": [0.4, 0.4], "PixelSpacingCalibrationType": "FIDUCIAL", "ImagerPixelSpacing": [0.5, 0.5]},
            90,
            120,
            "毫米",
            0.4,
        ),
        # Of pixels twice as high as wide the film is shown twice as high: a step on the screen is as long either way.
        ("Line Across", {"SequenceOfUltrasoundRegions": [region()]}, 100, 0, "毫米", 0.25),
        (
            "Line First",  # both hold the line: the one of high priority has the say, though it is the larger
            {
                "SequenceOfUltrasoundRegions": [
                    region(PhysicalDeltaX=0.1, RegionLocationMinX0=100, RegionLocationMaxX1=499),
                    region(RegionFlags=1),
                ]
            },
            100,
            0,
            "毫米",
            0.25,
        ),
        ("Line Ultrasound", {"Modality": "US", "PixelSpacing": [0.3, 0.3]}, 90, 0, "像素", 1.0),
        (
            "Line Two",  # from one region into another: no length either
            {"SequenceOfUltrasoundRegions": [region(RegionLocationMaxX1=299), region(RegionLocationMinX0=300)]},
            100,
            0,
            "像素",
            1.0,
        ),
    ],
)
def test_a_line_is_as_long_as_the_machine_says(
    box: Clinic,
    doctor: BrowserUser,
    folder: Path,
    name: str,
    said: dict[str, Any],
    dx: int,
    dy: int,
    unit: str,
    scale: float,
) -> None:
    box.send_images(synthetic_film(folder, f"{name[5:]}.dcm", PatientName=name, PatientAge="050Y", **said))
    # No toy model reads ultrasound, so such a case is on a list of its own.
    doctor.driver.get(f"{box.url}/?tab=cannot-judge" if said.get("Modality") == "US" else f"{box.url}/")
    doctor.open_row(name)
    tall = name in {f"Line {one}" for one in ("Across", "Two")}
    by = draw_line(doctor, dx, dy, 1400 if tall else 700)
    text = doctor.until(lambda: doctor.find("#length").text)
    assert unit in text
    assert number(text) == pytest.approx(math.hypot(dx, dy) * by * scale, rel=0.03)
    if name == "Line Detector":
        assert "探测器处" in text
    if name == "Line Ultrasound":  # where there is no detector
        assert "探测器" not in text
        assert "未校准" in text
    if name == "Line Across":  # a second line is told with its angle to the first
        draw_line(doctor, 60, 60, 1400)
        doctor.until(lambda: "夹角 45.0°" in doctor.find("#length").text)
    doctor.find("#reset").click()
    doctor.until(lambda: not doctor.driver.find_element("id", "length").text)


def test_a_pinch_is_no_line_and_leaves_the_one_that_is_there(box: Clinic, doctor: BrowserUser, folder: Path) -> None:
    box.send_images(synthetic_film(folder, "pinched.dcm", PatientName="Pin Ched", PatientAge="050Y"))
    doctor.screen(360, 740, 2)
    doctor.driver.get(f"{box.url}/")
    doctor.open_row("Pin Ched")
    doctor.press("#measure")
    doctor.touch("Start", (0, 0))
    doctor.touch("Move", (40, 30))
    doctor.touch("End")
    length, width = doctor.until(lambda: doctor.find("#length").text), doctor.film("width")
    size = doctor.find("#film").size
    by = 1 / min(float(size["height"]) / 700, float(size["width"]) / 600)
    assert number(length) == pytest.approx(50 * by, rel=0.03)
    doctor.touch("Start", (-20, 0))  # one finger is always first
    doctor.touch("Move", (-22, 0))
    doctor.touch("Start", (-22, 0), (20, 0))
    doctor.touch("Move", (-60, 0), (60, 0))
    doctor.until(lambda: float(doctor.film("zoom")) > 1.5)
    doctor.touch("End", (-60, 0))  # and one always last
    doctor.touch("Move", (-60, 70))
    doctor.touch("End")
    assert (doctor.find("#length").text, doctor.film("width")) == (length, width)
    doctor.touch("Start", (0, 0))  # of a closer film the same way is a shorter line
    doctor.touch("Move", (40, 30))
    doctor.touch("End")
    doctor.until(
        lambda: number(doctor.find("#length").text) == pytest.approx(50 * by / float(doctor.film("zoom")), 0.05)
    )


def test_where_an_image_has_no_picture_none_is_shown_and_measured(
    box: Clinic, doctor: BrowserUser, folder: Path
) -> None:
    study: dict[str, Any] = {"StudyInstanceUID": "2.25.77", "PatientName": "Without One", "PatientAge": "050Y"}
    for view in ("PA", "AP"):
        box.send_images(synthetic_film(folder, f"{view}.dcm", ViewPosition=view, **study))
    doctor.driver.get(f"{box.url}/")
    doctor.open_row("Without One")
    doctor.until(lambda: len(doctor.all("a.back, .picture")) >= 2)
    second = str(doctor.driver.find_elements("css selector", ".image")[1].get_attribute("data-frame"))
    (reference,) = {part for part in second.split("/") if (box.state / "display" / part).is_dir() and part}
    shutil.rmtree(box.state / "display" / reference)
    doctor.driver.refresh()
    doctor.wait_for_film()
    draw_line(doctor, 60, 0)
    doctor.until(lambda: doctor.find("#length").text)
    doctor.all(".picture")[1].click()
    doctor.until(lambda: "没有" in doctor.find("#message").text)
    assert doctor.read_canvas_colour() == (0, 0, 0, 0)
    draw_line(doctor, 40, 0)
    assert [doctor.driver.find_element("id", place).text for place in ("length", "window")] == ["", ""]
    doctor.all(".picture")[0].click()
    doctor.wait_for_film()
    draw_line(doctor, 60, 0)
    doctor.until(lambda: doctor.find("#length").text)


def plays(doctor: BrowserUser) -> bool:
    """Whether the clip plays, by the word on the button, which is what a press of it does."""
    button = doctor.find("#play")
    assert button.text in (button.get_attribute("data-play"), button.get_attribute("data-stop"))
    return button.text == button.get_attribute("data-stop")


def mean_ms_of_a_frame(doctor: BrowserUser, shown: int) -> float:
    """Play the clip that is open for *shown* frames of its five, which come in their order."""
    doctor.driver.execute_script(
        "const text = document.querySelector('#frame-text');"
        "window.stood = [];"
        "new MutationObserver(() => stood.push([performance.now(), text.textContent])).observe(text, {childList: true})"
    )
    doctor.find("#play").click()
    doctor.until(lambda: doctor.driver.execute_script("return stood.length") >= shown)
    doctor.find("#play").click()
    assert not plays(doctor)
    stood = doctor.driver.execute_script("return stood")
    order = [number(text) for _, text in stood]
    assert all(after == before % 5 + 1 for before, after in pairwise(order))
    times = [float(at) for at, _ in stood[6:]]  # the first round waits for the frames to come
    return (times[-1] - times[0]) / (len(times) - 1)


def test_a_clip_is_played_as_quickly_as_it_was_taken(box: Clinic, doctor: BrowserUser, folder: Path) -> None:
    box.send_images(synthetic_clip(folder, "played.dcm", 5, PatientName="A Film", PatientAge="050Y", FrameTime="40"))
    doctor.driver.get(f"{box.url}/")
    doctor.open_row("A Film")
    assert doctor.find("#rate").text == "每秒 25 帧"
    assert mean_ms_of_a_frame(doctor, 16) > 0.8 * 40  # never quicker than it was taken


def test_a_rate_that_no_screen_can_show_is_played_more_slowly_and_that_is_said(
    box: Clinic, doctor: BrowserUser, folder: Path
) -> None:
    box.send_images(synthetic_clip(folder, "quick.dcm", 5, PatientName="Quick One", PatientAge="050Y", FrameTime="0.5"))
    doctor.driver.get(f"{box.url}/")
    doctor.open_row("Quick One")
    slowed = str(doctor.find("#rate").get_attribute("data-slowed"))
    assert doctor.find("#rate").text == slowed.replace("{rate}", "2000")
    assert mean_ms_of_a_frame(doctor, 100) > 0.9 * 1000 / 60


def test_a_missing_frame_stops_the_clip_says_so_and_changes_nothing_else(
    box: Clinic, doctor: BrowserUser, folder: Path
) -> None:
    box.send_images(synthetic_clip(folder, "holed.dcm", 5, PatientName="Holed One", PatientAge="050Y", FrameTime="40"))
    doctor.driver.get(f"{box.url}/")
    doctor.open_row("Holed One")
    opens = int(str(doctor.find("#frame").get_attribute("value")))
    gone = (opens + 2) % 5
    frames = str(doctor.driver.find_element("css selector", ".image").get_attribute("data-frame"))
    (shown,) = (
        box.state / "display" / part for part in frames.split("/") if part and (box.state / "display" / part).is_dir()
    )
    for path in shown.glob(f"frame-{gone:03d}.*"):
        path.unlink()
    doctor.driver.execute_cdp_cmd("Network.clearBrowserCache", {})  # the page may have fetched it ahead
    doctor.driver.refresh()
    doctor.wait_for_film()
    for tool in ("#closer", "#invert"):
        doctor.press(tool)
    opened = doctor.film("width")
    doctor.find("#film").send_keys(Keys.ARROW_RIGHT)
    doctor.until(lambda: doctor.film("width") != opened and doctor.film("zoom") == "1.40")
    seen = [doctor.film(fact) for fact in ("zoom", "width", "centre")]

    def stopped() -> bool:
        return not plays(doctor)

    doctor.press("#play")
    message = doctor.find("#message")
    doctor.until(lambda: message.text == message.get_attribute("data-frame"))
    doctor.until(stopped)

    def asked() -> int:
        return int(
            doctor.driver.execute_async_script(
                "const done = arguments[0], all = () => performance.getEntriesByType('resource').length;"
                "const before = all(); setTimeout(() => done(all() - before), 500)"
            )
        )

    doctor.until(lambda: asked() == 0)  # what was asked for before it stopped may still come
    assert doctor.find("#frame").get_attribute("value") == str(gone)
    assert doctor.read_canvas_colour() == (0, 0, 0, 0)
    doctor.slide("#frame", opens)
    doctor.wait_for_film()
    assert [doctor.film(fact) for fact in ("zoom", "width", "centre")] == seen
    assert doctor.find("#rate").text == "每秒 25 帧"
    doctor.slide("#frame", gone)
    doctor.until(lambda: message.text == message.get_attribute("data-frame"))
    doctor.press("#play")  # goes on behind it, round to where it stops again
    doctor.wait_for_film()
    doctor.until(stopped)
    assert doctor.find("#frame").get_attribute("value") == str(gone)


def test_a_clip_that_does_not_say_how_quickly_it_was_taken_says_so(
    box: Clinic, doctor: BrowserUser, folder: Path
) -> None:
    box.send_images(synthetic_clip(folder, "untold.dcm", 3, PatientName="Un Told", PatientAge="050Y"))
    doctor.driver.get(f"{box.url}/")
    doctor.open_row("Un Told")
    assert doctor.find("#rate").text == "未记录速度"


def test_the_button_of_a_clip_says_what_a_press_of_it_does(box: Clinic, doctor: BrowserUser, folder: Path) -> None:
    box.send_images(synthetic_clip(folder, "worded.dcm", 5, PatientName="Word Ed", PatientAge="050Y", FrameTime="40"))
    doctor.driver.get(f"{box.url}/")
    doctor.open_row("Word Ed")
    for language in ("zh_CN", "en"):
        doctor.choose_language(language)
        doctor.wait_for_film()
        button = doctor.find("#play")
        play, stop = button.get_attribute("data-play"), button.get_attribute("data-stop")
        said = [button.accessible_name]
        for _ in range(2):
            button.click()
            said.append(button.accessible_name)
        assert said == [play, stop, play]
        assert button.get_attribute("aria-pressed") is None  # the word changes, and "Pause, pressed" would say both
    assert (play, stop) == ("Play", "Pause")
    assert doctor.driver.find_element("id", "left").text == ""


def test_every_frame_of_a_long_clip_can_be_shown_soon_and_until_then_the_page_says_which(
    box: Clinic, doctor: BrowserUser, folder: Path
) -> None:
    box.send_images(synthetic_clip(folder, "long.dcm", 80, PatientName="Long One", PatientAge="050Y", FrameTime="40"))
    doctor.driver.get(f"{box.url}/")
    doctor.open_row("Long One")
    doctor.choose_language("en")
    doctor.wait_for_film()

    def shown() -> list[int]:
        frames: list[int] = json.loads(
            str(doctor.driver.find_element("css selector", ".image").get_attribute("data-shown"))
        )
        return frames

    def whole() -> bool:
        """Look again, as the page asks for it; what it says until then is true."""
        if len(shown()) == 80:
            return True
        apart = max(later - earlier for earlier, later in pairwise([*shown(), 80]))
        assert doctor.find("#left").text.startswith(f"64 of 80 frames can be shown so far, at most {apart} apart.")
        doctor.driver.refresh()
        doctor.wait_for_film()
        return False

    doctor.until(whole)
    assert doctor.driver.find_element("id", "left").text == ""
    greys: list[tuple[int, ...]] = []
    for number in (1, 2, 3, 78, 79):  # most of them light pictures, in the greys of the clip like the others
        doctor.slide("#frame", number)
        doctor.until(lambda: doctor.film("number") == str(number))  # noqa: B023
        doctor.wait_for_film()
        doctor.until(lambda: len(greys) < 3 or doctor.read_canvas_colour() != greys[-1])
        greys.append(doctor.read_canvas_colour())
    assert greys[-1] > greys[0]


def test_a_name_on_a_narrow_screen_is_not_broken_into_letters(box: Clinic, doctor: BrowserUser, folder: Path) -> None:
    box.send_images(synthetic_film(folder, "narrow.dcm", PatientName="Made^By Code", PatientAge="050Y", StudyDate=None))
    doctor.driver.get(f"{box.url}/")
    doctor.open_row("Made By Code")
    doctor.screen(390, 844)
    script = "return parseFloat(getComputedStyle(arguments[0]).lineHeight)"
    name = doctor.find(".title h1")
    assert name.size["height"] <= 2.1 * float(doctor.driver.execute_script(script, name))
