"""Positron emission counts as standardised uptake values by body weight, or a sentence why not.

The rule is the vendor-neutral pseudo-code of the QIBA FDG-PET/CT profile over PS3.3 C.8.9.1: only Bq/ml that were
corrected for attenuation and decay become SUVbw, and only where dose and counts can be brought to the same moment.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Any, Final

from pydicom.dataset import Dataset

from firmware_app.errors import UptakeUnknown
from firmware_app.imaging.source import BROKEN

_GRAMS_PER_KG: Final = 1000.0
# A dose in MBq or a weight in grams gives an SUV that is wrong by a thousand or a million and looks like a number.
_DOSE_BQ: Final = (1e6, 1e11)  # a newborn's has some 10 MBq, the largest of any tracer a few GBq
_WEIGHT_KG: Final = (0.3, 500.0)
_LONGEST: Final = timedelta(days=2)  # between injection and scan; more is a wrong clock, whatever the isotope


def per_unit(header: Dataset) -> float:
    """SUVbw of one unit of *header*'s rescaled values; raises `UptakeUnknown` where it cannot be known."""
    units = _text(header, "Units")
    if units == "GML":  # the machine has done it already; which kind it is stands in SUV Type (absent: body weight)
        if _text(header, "SUVType") not in ("", "BW"):
            raise UptakeUnknown(detail=f"SUVType {_text(header, 'SUVType')}")
        return 1.0
    if units != "BQML":
        raise UptakeUnknown(detail=f"Units {units or '–'}")
    corrected = _words(header, "CorrectedImage")
    if not {"ATTN", "DECY"} <= corrected:
        raise UptakeUnknown(detail="CorrectedImage")
    item = _isotope(header)
    weight, dose = _within(header, "PatientWeight", _WEIGHT_KG), _within(item, "RadionuclideTotalDose", _DOSE_BQ)
    decay = _text(header, "DecayCorrection")
    if decay == "ADMIN":
        return weight * _GRAMS_PER_KG / dose
    if decay != "START":
        raise UptakeUnknown(detail=f"DecayCorrection {decay or '–'}")
    half_life = _above_zero(item, "RadionuclideHalfLife")
    waited = _waited(_scan_start(header, half_life), header, item).total_seconds()
    return weight * _GRAMS_PER_KG / (dose * math.exp2(-waited / half_life))


def _scan_start(header: Dataset, half_life: float) -> datetime:
    """The moment that the counts are corrected to: the series' own time, unless that is later than the acquisition.

    A series made later from stored data has a later time; the moment is then reckoned back from this slice's own.
    """
    series, acquired = (
        _moment(header, "SeriesDate", "SeriesTime"),
        _moment(header, "AcquisitionDate", "AcquisitionTime"),
    )
    if series is not None and acquired is not None and series <= acquired:
        return series
    if acquired is None:
        raise UptakeUnknown(detail="AcquisitionTime")
    reference = _number(header, "FrameReferenceTime")  # ms from the moment sought to the slice's average count rate
    frame = _above_zero(header, "ActualFrameDuration") / 1000.0
    if reference is None:
        raise UptakeUnknown(detail="FrameReferenceTime")
    rate = math.log(2.0) / half_life
    average = math.log(rate * frame / (1.0 - math.exp(-rate * frame))) / rate
    return acquired - timedelta(seconds=reference / 1000.0 - average)


def _waited(scan: datetime, header: Dataset, item: Dataset) -> timedelta:
    """From the injection to *scan*."""
    begun = _date_time(_text(item, "RadiopharmaceuticalStartDateTime"))
    if begun is None:
        time = _text(item, "RadiopharmaceuticalStartTime")
        begun = _date_time(scan.strftime("%Y%m%d") + time) if time else None
        if begun is not None and begun > scan:  # injected before midnight
            begun -= timedelta(days=1)
    if begun is None:
        raise UptakeUnknown(detail="RadiopharmaceuticalStartTime")
    if not timedelta(0) <= scan - begun <= _LONGEST:
        raise UptakeUnknown(detail="RadiopharmaceuticalStartDateTime")
    return scan - begun


def _isotope(header: Dataset) -> Dataset:
    try:
        item = header.RadiopharmaceuticalInformationSequence[0]
    except BROKEN:
        raise UptakeUnknown(detail="RadiopharmaceuticalInformationSequence") from None
    return item if isinstance(item, Dataset) else Dataset()


def _moment(header: Dataset, date: str, time: str) -> datetime | None:
    day, clock = _text(header, date), _text(header, time)
    return _date_time(day + clock) if len(day) == 8 and clock else None


def _date_time(text: str) -> datetime | None:
    """A DT value (PS3.5 6.2) down to seconds at least; its zone is left out, as QIBA's rule compares local times."""
    plain = text.split("+")[0].split("-")[0]
    whole, _, fraction = plain.partition(".")
    try:
        return datetime.strptime(whole, "%Y%m%d%H%M%S") + timedelta(seconds=float(f"0.{fraction or 0}"))
    except ValueError:
        return None


def _within(header: Dataset, keyword: str, limits: tuple[float, float]) -> float:
    number = _above_zero(header, keyword)
    if not limits[0] <= number <= limits[1]:
        raise UptakeUnknown(detail=keyword)
    return number


def _above_zero(header: Dataset, keyword: str) -> float:
    number = _number(header, keyword)
    if number is None or number <= 0:
        raise UptakeUnknown(detail=keyword)
    return number


def _number(header: Dataset, keyword: str) -> float | None:
    try:
        number = float(header[keyword].value)
    except BROKEN:
        return None
    return number if math.isfinite(number) else None


def _text(header: Dataset, keyword: str) -> str:
    try:
        return str(header.get(keyword) or "").strip().upper()
    except BROKEN:
        return ""


def _words(header: Dataset, keyword: str) -> set[str]:
    try:
        value: Any = header.get(keyword) or ()
    except BROKEN:
        return set()
    return {str(word).strip().upper() for word in ([value] if isinstance(value, str) else value)}
