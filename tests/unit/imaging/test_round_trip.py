"""From the word in the file to the grey on the screen and back again: no transform on the way loses a grey."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from firmware_app.imaging import image_file
from firmware_app.imaging.grey_scale import StoredWords
from tests import films
from tests.unit.imaging.test_grey_pipeline import layouts, pack_words

Pixels = np.ndarray[Any, Any]

OFTEN = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
SLOPES = (1.0, -1.0, 0.5, -0.25, 2.0, 3.0, 0.0625)
FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")


def invert_window(seen: Pixels, centre: float, width: float, function: str) -> Pixels:
    """The values that a window (PS3.3 C.11.2.1.2 and C.11.2.1.3) maps to *seen*, which lies within it."""
    if function == "SIGMOID":
        return centre - width / 4 * np.log(1 / seen - 1)
    if function == "LINEAR":
        return (seen - 0.5) * (width - 1) + centre - 0.5
    return (seen - 0.5) * width + centre


@OFTEN
@given(
    data=st.data(),
    layout=layouts(),
    rubbish=st.integers(0, 65535),
    photometric=st.sampled_from(["MONOCHROME1", "MONOCHROME2"]),
    slope=st.sampled_from(SLOPES),
    intercept=st.integers(-1024, 1024),
    function=st.sampled_from(FUNCTIONS),
    share=st.floats(0.2, 3.0),
)
def test_stored_values_come_back_from_the_screen_and_from_the_window(
    tmp_path: Path,
    data: st.DataObject,
    layout: StoredWords,
    rubbish: int,
    photometric: str,
    slope: float,
    intercept: int,
    function: str,
    share: float,
) -> None:
    shape = data.draw(hnp.array_shapes(min_dims=2, max_dims=2, max_side=7))
    values = data.draw(hnp.arrays(np.int64, shape, elements=st.integers(*layout.value_range)))
    low, high = sorted((slope * end + intercept) for end in layout.value_range)
    centre, width = (low + high) / 2, max(2.0, share * (high - low))
    made = films.film(
        pack_words(values, layout, rubbish),
        BitsStored=layout.stored,
        HighBit=layout.high_bit,
        PixelRepresentation=int(layout.signed),
        PhotometricInterpretation=photometric,
        RescaleSlope=slope,
        RescaleIntercept=intercept,
        WindowCenter=f"{centre:.8g}",
        WindowWidth=f"{width:.8g}",
        VOILUTFunction=function,
    )
    with image_file.open_image_file(films.save(tmp_path, "film.dcm", made), is_picture=False) as opened:
        shown, model = opened.render_frame(0), opened.grey(0).astype(np.float64)
    on_screen = shown.pixels.astype(np.float64) * shown.slope + shown.intercept
    np.testing.assert_allclose((on_screen - intercept) / slope, values, atol=0.51)
    assert shown.inverted == (photometric == "MONOCHROME1")
    full_range = (-1 if photometric == "MONOCHROME1" else 1) * (slope * values + intercept)
    if np.allclose(model, full_range):
        return  # the window would leave one grey, so all are shown: the screen's own round trip has held
    seen = 1 - model if photometric == "MONOCHROME1" else model
    within = (seen > 0.02) & (seen < 0.98)
    back = (invert_window(seen[within], float(f"{centre:.8g}"), float(f"{width:.8g}"), function) - intercept) / slope
    # float32 between 0 and 1 resolves 2⁻²⁴ of the window, a sigmoid near its ends less.
    slack = 0.01 + width / abs(slope) * 1e-5
    np.testing.assert_allclose(back, values[within], atol=slack)
