"""Slices that make no volume, or lie in none."""

from __future__ import annotations

from firmware_app.core.errors.judgement import CannotJudge
from firmware_app.core.language import N_


class SeriesUnfit(CannotJudge):
    """The slices of a series make no volume of which a number would be honest (`imaging.scan_volumes`)."""


class LocalizerLeftOut(SeriesUnfit):
    code = "series.localizer"
    sentence = N_("This is a localizer, taken to plan the scan. It is no slice of the volume, and nothing is missing.")


class NoSlice(SeriesUnfit):
    """Names the attribute of the header that is missing or cannot be."""

    code = "series.no_slice"
    sentence = N_(
        "The header does not say where in the body this image lies, so it is in no volume. A doctor must look at it."
    )
    detail: str
    unsaid = ("detail",)


class SlicesTooFew(SeriesUnfit):
    code = "series.too_few"
    sentence = N_("Only {slices} slices belong together; a volume needs at least {least}.")
    slices: int
    least: int


class SlicesMissing(SeriesUnfit):
    code = "series.missing"
    sentence = N_(
        "The slices are {step_mm} mm apart, but {missing} of them are missing in between. Send the whole series again."
    )
    missing: int
    step_mm: float


class SlicesTwice(SeriesUnfit):
    code = "series.twice"
    sentence = N_(
        "Slices with the position of another slice that show something else: {slices}. Nothing in their "
        "headers tells them apart. Send each pass of the scan as a series of its own."
    )
    slices: int


class SpacingUneven(SeriesUnfit):
    code = "series.uneven"
    sentence = N_(
        "The distance from slice to slice changes between {least_mm} and {most_mm} mm, so the series is no one volume. "
        "Reconstruct it at one distance and send it again."
    )
    least_mm: float
    most_mm: float


class SlicesAskew(SeriesUnfit):
    code = "series.askew"
    sentence = N_(
        "The slices do not lie behind one another on one straight line (off by {off_mm} mm), so they are no one "
        "volume. Send each scan as a series of its own."
    )
    off_mm: float


class VolumeTooLarge(SeriesUnfit):
    code = "series.too_large"
    sentence = N_(
        "The series has {slices} slices and would take {megabytes} MB, more than this box opens at once. "
        "Reconstruct it with thicker slices and send it again."
    )
    slices: int
    megabytes: int


class NotHounsfield(SeriesUnfit):
    """Names the attribute of the header that stands in the way."""

    code = "series.not_hounsfield"
    sentence = N_("The values of these slices are not known to be Hounsfield units, so no density is given for them.")
    detail: str
    unsaid = ("detail",)
