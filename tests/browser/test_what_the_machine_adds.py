"""What a machine sends along with its film is found on the screen: marks, windows, sizes, and words in any writing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydicom.tag import Tag
from selenium.webdriver.support.ui import Select

from tests.browser.clinic import Clinic, Person
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
        (0x10, "US", 600), (0x11, "US", 600), (0x40, "CS", "G"), (0x50, "SS", [1, 1]), (0x100, "US", 1),
        (0x102, "US", 0), (0x3000, "OW", np.packbits(plane.reshape(-1), bitorder="little").tobytes()),
    ):  # fmt: skip
        made.add_new(Tag(0x6000, number), vr, value)
    path = save(folder, "marked.dcm", made)
    data = path.read_bytes()
    declared = b"\x08\x00\x05\x00CS\x08\x00GB18030 "
    assert data.count(declared) == 1
    path.write_bytes(data.replace(declared, b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 100"))
    return path


def test_marks_windows_sizes_and_words_of_the_machine_are_found(box: Clinic, doctor: Person, folder: Path) -> None:
    box.push(marked_film(folder))
    doctor.driver.get(f"{box.url}/")
    doctor.open_row("赵标")
    doctor.until(lambda: doctor.film("layers") == "1")
    assert "胸部正位" in doctor.find(".title").text
    marked = doctor.ink()
    doctor.until(lambda: doctor.ink()[2] > doctor.ink()[0])  # the marks are light blue
    doctor.find("#layers").click()
    doctor.until(lambda: len(set(doctor.ink()[:3])) == 1)  # and the film below is grey
    assert doctor.ink() != marked
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
