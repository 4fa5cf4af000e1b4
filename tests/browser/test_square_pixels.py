"""A disc is round on the page, whatever the shape of the pixels, and what a doctor draws around it stays around it."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from selenium.webdriver.common.action_chains import ActionChains

from tests.browser.clinic import BrowserUser, Clinic
from tests.films import film, save
from tests.unit.imaging.test_square_pixels import disc, roundness


def read_canvas(doctor: BrowserUser) -> np.ndarray[Any, Any]:
    """The greys that the page shows."""
    url = doctor.driver.execute_script("return document.getElementById('film').toDataURL()")
    with Image.open(io.BytesIO(base64.b64decode(url.split(",", 1)[1]))) as image:
        return np.asarray(image.convert("L"))


@pytest.mark.parametrize(
    ("name", "aspect", "said"),
    [("Disc Tall", 2.0, {"ImagerPixelSpacing": [0.4, 0.2]}), ("Disc Wide", 0.5, {"PixelAspectRatio": [1, 2]})],
)
def test_a_disc_is_round_on_the_page_and_a_box_around_it_is_kept_in_pixels_of_the_frame(
    box: Clinic, doctor: BrowserUser, folder: Path, name: str, aspect: float, said: dict[str, Any]
) -> None:
    pixels = disc(aspect)
    rows, columns = pixels.shape
    path = save(folder, f"{name[5:]}.dcm", film(pixels, PatientName=name, BitsStored=12, HighBit=11, **said))
    box.send_images(path)
    doctor.driver.get(f"{box.url}/")
    doctor.open_row(name)
    doctor.until(lambda: np.ptp(read_canvas(doctor)) > 100)
    greys = read_canvas(doctor)
    assert roundness(greys) == pytest.approx(1.0, abs=0.03)
    doctor.find("#closer").click()
    doctor.until(lambda: not np.array_equal(read_canvas(doctor), greys))
    assert roundness(read_canvas(doctor)) == pytest.approx(1.0, abs=0.03)
    doctor.find("#reset").click()
    doctor.until(lambda: np.array_equal(read_canvas(doctor), greys))

    y, x = np.nonzero(greys > greys.min() + 0.6 * np.ptp(greys))
    size, ratio = doctor.find("#film").size, greys.shape[1] / doctor.find("#film").size["width"]
    left, top = x.min() / ratio - size["width"] / 2, y.min() / ratio - size["height"] / 2
    wide, high = np.ptp(x) / ratio, np.ptp(y) / ratio
    doctor.find("#mark-box").click()
    hands = ActionChains(doctor.driver, duration=50)
    hands.move_to_element_with_offset(doctor.find("#film"), round(left), round(top)).click_and_hold()
    hands.move_by_offset(round(wide), round(high)).release().perform()
    kept = doctor.driver.execute_script("return document.querySelector('[name=drawing]').value")
    (x0, y0), (x1, y1) = json.loads(kept)["points"]
    expected = (columns / 4, rows / 4, columns * 0.75, rows * 0.75)
    assert (x0, y0, x1, y1) == pytest.approx(expected, abs=0.02 * max(rows, columns))
