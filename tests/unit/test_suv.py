"""Counts become SUV where the header allows it, and a sentence where it does not."""

from __future__ import annotations

import math
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from firmware_app.errors import UptakeUnknown
from firmware_app.imaging import suv

HALF_LIFE = 6586.2  # s, fluorine-18
DOSE = 3.7e8  # Bq
WEIGHT = 70.0  # kg


def header(isotope: dict[str, Any] | None = None, **attributes: Any) -> Dataset:
    """A series of FDG, scanned an hour after the injection at 09:30."""
    made, item = Dataset(), Dataset()
    values: dict[str, Any] = {
        "Units": "BQML", "DecayCorrection": "START", "CorrectedImage": ["DECY", "ATTN", "SCAT"],
        "PatientWeight": WEIGHT,
        "SeriesDate": "20260105", "SeriesTime": "103000", "AcquisitionDate": "20260105", "AcquisitionTime": "103200",
        **attributes,
    }  # fmt: skip
    of_isotope = {
        "RadionuclideTotalDose": DOSE, "RadionuclideHalfLife": HALF_LIFE, "RadiopharmaceuticalStartTime": "093000",
        **(isotope or {}),
    }  # fmt: skip
    for target, named in ((made, values), (item, of_isotope)):
        for keyword, value in named.items():
            if value is not None:
                setattr(target, keyword, value)
    made.RadiopharmaceuticalInformationSequence = Sequence([item])
    return made


def by_hand(seconds: float) -> float:
    return WEIGHT * 1000 / (DOSE * math.pow(0.5, seconds / HALF_LIFE))


def test_a_dose_is_decayed_to_the_start_of_the_series() -> None:
    assert suv.per_unit(header()) == pytest.approx(by_hand(3600), rel=1e-12)
    assert suv.per_unit(header()) == pytest.approx(2.7632e-4, rel=1e-4)


def test_counts_corrected_to_the_injection_need_no_decay() -> None:
    assert suv.per_unit(header(DecayCorrection="ADMIN")) == pytest.approx(WEIGHT * 1000 / DOSE)


@pytest.mark.parametrize(("dose", "weight"), [(1e7, 2.5), (3e9, 180.0)])
def test_newborns_and_generators_have_doses_that_are_believed(dose: float, weight: float) -> None:
    made = header({"RadionuclideTotalDose": dose}, DecayCorrection="ADMIN", PatientWeight=weight)
    assert suv.per_unit(made) == pytest.approx(weight * 1000 / dose)


def test_the_full_date_of_the_injection_is_preferred_and_midnight_is_crossed() -> None:
    whole = {"RadiopharmaceuticalStartDateTime": "20260105094500.00+0800"}
    assert suv.per_unit(header(whole)) == pytest.approx(by_hand(2700))
    night = {"RadiopharmaceuticalStartTime": "233000"}
    early = {"SeriesTime": "003000", "AcquisitionTime": "003100"}
    assert suv.per_unit(header(night, **early)) == pytest.approx(by_hand(3600))


def test_a_series_made_later_is_reckoned_back_from_its_slices() -> None:
    """With short frames the average count rate is in their middle: 10:32:00 − 90 s + 60 s is 10:31:30."""
    late = header(SeriesTime="180000", FrameReferenceTime=90_000, ActualFrameDuration=120_000)
    assert suv.per_unit(late) == pytest.approx(by_hand(3690), rel=1e-4)


def test_values_that_are_suv_already_stay_as_they_are() -> None:
    assert suv.per_unit(header(Units="GML")) == 1.0
    assert suv.per_unit(header(Units="GML", SUVType="BW")) == 1.0


@pytest.mark.parametrize(
    ("isotope", "attributes", "names"),
    [
        ({}, {"Units": "CNTS"}, "CNTS"),
        ({}, {"Units": None}, "Units"),
        ({}, {"Units": "GML", "SUVType": "LBM"}, "LBM"),
        ({}, {"CorrectedImage": ["DECY"]}, "CorrectedImage"),
        ({}, {"CorrectedImage": "ATTN"}, "CorrectedImage"),
        ({}, {"PatientWeight": None}, "PatientWeight"),
        ({}, {"PatientWeight": 0}, "PatientWeight"),
        ({}, {"DecayCorrection": "NONE"}, "NONE"),
        ({}, {"AcquisitionTime": None}, "AcquisitionTime"),
        ({}, {"SeriesTime": "180000"}, "ActualFrameDuration"),
        ({}, {"SeriesTime": "180000", "ActualFrameDuration": 1000}, "FrameReferenceTime"),
        ({"RadionuclideTotalDose": None}, {}, "RadionuclideTotalDose"),
        ({"RadionuclideTotalDose": 0}, {}, "RadionuclideTotalDose"),
        ({"RadionuclideTotalDose": 370}, {}, "RadionuclideTotalDose"),
        ({"RadionuclideTotalDose": 3.7e14}, {}, "RadionuclideTotalDose"),
        ({}, {"PatientWeight": 70_000}, "PatientWeight"),
        ({}, {"PatientWeight": 0.07}, "PatientWeight"),
        ({"RadionuclideHalfLife": None}, {}, "RadionuclideHalfLife"),
        ({"RadiopharmaceuticalStartTime": None}, {}, "RadiopharmaceuticalStartTime"),
        ({"RadiopharmaceuticalStartDateTime": "20260106094500"}, {}, "RadiopharmaceuticalStartDateTime"),
        ({"RadiopharmaceuticalStartDateTime": "20250105094500"}, {}, "RadiopharmaceuticalStartDateTime"),
    ],
)  # fmt: skip
def test_what_stands_in_the_way_is_named(isotope: dict[str, Any], attributes: dict[str, Any], names: str) -> None:
    with pytest.raises(UptakeUnknown) as refused:
        suv.per_unit(header(isotope, **attributes))
    assert refused.value.code == "reading.uptake_unknown"
    assert names in refused.value.text()


def test_a_header_without_an_isotope_is_refused() -> None:
    made = header()
    del made.RadiopharmaceuticalInformationSequence
    with pytest.raises(UptakeUnknown, match="RadiopharmaceuticalInformationSequence"):
        suv.per_unit(made)
