"""What a machine sends along with its film is found on the screen: marks, windows, sizes, and words in any writing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom.tag import Tag
from selenium.webdriver.support.ui import Select

from tests import made_task
from tests.browser.clinic import BrowserUser, Clinic
from tests.films import film, save, shapes


def marked_film(folder: Path) -> Path:
    """A film with a mark in its middle, three windows and words in GBK under the name of Latin 1."""
    pixels = shapes(3, 600, 600)
    made = film(
        pixels,
        BitsStored=12,
        HighBit=11,
        PatientAge="050Y",
        ImagerPixelSpacing=[0.15, 0.15],
        WindowCenter=[2048, 1000, 3000],
        WindowWidth=[4096, 800, 900],
    )
    made.SpecificCharacterSet = "GB18030"
    made.PatientName = "赵^标"
    made.StudyDescription = "胸部正位"
    made.WindowCenterWidthExplanation = ["标准", "肺", "骨"]
    plane = np.zeros((600, 600), np.uint8)
    plane[280:320, 280:320] = 1
    for number, vr, value in (
        (0x10, "US", 600),
        (0x11, "US", 600),
        (0x40, "CS", "G"),
        (0x50, "SS", [1, 1]),
        (0x100, "US", 1),
        (0x102, "US", 0),
        (0x3000, "OW", np.packbits(plane.reshape(-1), bitorder="little").tobytes()),
    ):
        made.add_new(Tag(0x6000, number), vr, value)
    path = save(folder, "marked.dcm", made)
    data = path.read_bytes()
    declared = b"\x08\x00\x05\x00CS\x08\x00GB18030 "
    assert data.count(declared) == 1
    path.write_bytes(data.replace(declared, b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 100"))
    return path


def test_marks_windows_sizes_and_words_of_the_machine_are_found(box: Clinic, doctor: BrowserUser, folder: Path) -> None:
    box.send_images(marked_film(folder))
    doctor.driver.get(f"{box.url}/")
    doctor.open_row("赵标")
    doctor.until(lambda: doctor.film("layers") == "1")
    assert "胸部正位" in doctor.find(".title").text
    marked = doctor.read_canvas_colour()
    doctor.until(lambda: doctor.read_canvas_colour()[2] > doctor.read_canvas_colour()[0])  # the marks are light blue
    doctor.find("#layers").click()
    doctor.until(lambda: len(set(doctor.read_canvas_colour()[:3])) == 1)  # and the film below is grey
    assert doctor.read_canvas_colour() != marked
    windows = Select(doctor.find("#windows"))
    assert [option.text for option in windows.options] == ["标准", "肺", "骨"]
    windows.select_by_visible_text("肺")
    doctor.until(lambda: (doctor.film("centre"), doctor.film("width")) == ("1000", "800"))
    doctor.find("#reset").click()
    doctor.until(lambda: (doctor.film("centre"), doctor.film("width")) == ("2048", "4096"))
    assert doctor.find("#size").get_attribute("textContent")
    doctor.driver.get(doctor.driver.current_url + "/report")
    assert "胸部正位" in doctor.find(".facts").text
    assert "赵标" in doctor.find(".facts").text


def test_the_models_boxes_lie_over_the_film_and_their_names_and_scores_beside_it(
    box: Clinic, doctor: BrowserUser, folder: Path
) -> None:
    spot = film(made_task.picture(), PatientAge="050Y", BodyPartExamined="HAND", PatientName="Qian^Kuang")
    box.send_images(save(folder, "spot.dcm", spot))
    doctor.driver.get(f"{box.url}/")
    doctor.open_row("Qian Kuang")
    doctor.until(lambda: doctor.find("#marks").text == "斑点，评分 1.00")
    assert doctor.driver.find_element("css selector", "#boxes text").get_attribute("textContent") == ""
    place = doctor.find("#boxes rect").rect
    screen = doctor.find("#film").rect
    shown = min(screen["width"] / made_task.COLUMNS, screen["height"] / made_task.ROWS)
    left = screen["x"] + (screen["width"] - shown * made_task.COLUMNS) / 2
    top = screen["y"] + (screen["height"] - shown * made_task.ROWS) / 2
    x0, y0, x1, y1 = made_task.BRIGHT
    assert place["x"] == pytest.approx(left + shown * x0, abs=3)
    assert place["y"] == pytest.approx(top + shown * y0, abs=3)
    assert place["width"] == pytest.approx(shown * (x1 - x0), abs=4)
    assert place["height"] == pytest.approx(shown * (y1 - y0), abs=4)
    doctor.find("#boxes-tool").click()
    doctor.until(lambda: not doctor.driver.find_element("css selector", "#boxes rect").is_displayed())


def test_an_outline_lies_over_the_film_with_its_two_axes(box: Clinic, doctor: BrowserUser, folder: Path) -> None:
    down, across = np.mgrid[0:256, 0:256]
    tissue = 50 + 20 * np.sin(across / 30) * np.sin(down / 20)
    tissue[96:160, 64:160] += 150
    box.send_images(
        save(folder, "belly.dcm", film(tissue.astype(np.uint8), BodyPartExamined="ABDOMEN", PatientName="Sun^Li"))
    )
    doctor.driver.get(f"{box.url}/")
    doctor.open_row("Sun Li")
    doctor.until(lambda: doctor.find("#boxes polygon"))
    screen, place = doctor.find("#film").rect, doctor.find("#boxes polygon").rect
    shown = min(screen["width"], screen["height"]) / 256
    left, top = screen["x"] + (screen["width"] - shown * 256) / 2, screen["y"] + (screen["height"] - shown * 256) / 2
    assert place["x"] == pytest.approx(left + shown * 64, abs=shown * 32)  # to a cell of the model's map
    assert place["y"] == pytest.approx(top + shown * 96, abs=shown * 32)
    assert place["width"] == pytest.approx(shown * 96, abs=shown * 32)
    assert len(doctor.driver.find_elements("css selector", "#boxes line")) == 2
    assert not doctor.driver.find_elements("css selector", "#boxes rect")
    assert "标记病灶 1 个。" in doctor.find("#in-words").text
    assert "图像未给出标尺" in doctor.find("#in-words").text
