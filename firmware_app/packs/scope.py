"""What a pack reads, as its manifest says: whom, and images taken how well."""

from typing import Literal, Self

from pydantic import Field, model_validator

from firmware_app.imaging.input_spec import LARGEST_SIDE_PX, Demands, QualityKind
from firmware_app.packs.tasks.part import Part


class AgeRange(Part):
    """Ages in completed years, both ends included; ``None`` leaves an end open."""

    min: int | None = Field(None, ge=0, le=150)
    max: int | None = Field(None, ge=0, le=150)

    def holds(self, years: int) -> bool:
        """Whether a person of this age, in completed years, is inside."""
        return (self.min is None or years >= self.min) and (self.max is None or years <= self.max)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"ages {self.min} to {self.max} are not in order")
        return self


class Route(Part):
    """Whom the pack may read: DICOM Modality, BodyPartExamined and ViewPosition (PS3.3 C.7.3.1, C.8.1), and age.

    Words are compared in upper case. ``views`` is empty where the modality has none (ultrasound). ``population`` is
    what an image of unknown age is matched to by the clinic's ``[box] usual_population``; ``any`` matches either.
    """

    modalities: tuple[str, ...] = Field(min_length=1)
    body_parts: tuple[str, ...] = Field(min_length=1)
    views: tuple[str, ...] = ()
    age_years: AgeRange
    population: Literal["children", "adult", "any"]


class Confounder(Part):
    """Something other than the finding that changes this model's number, and the sign by which the box detects it.

    ``view_ap``: the header says that a frontal film was taken from the front.  ``bedside``: the words of the
    examination say that it was taken at the bed.  ``metal``: the measure of that name (docs/decisions/quality.md).
    ``why``: how that was measured, with the figure.
    """

    sign: Literal["view_ap", "bedside", "metal"]
    why: str = Field(min_length=1)


class Care(Part):
    """How well an image must have been taken for this pack (docs/decisions/quality.md).

    ``kind`` names the set of limits that the quality of its images is compared with; ``none`` compares nothing.
    ``photographs``: it also reads films that were photographed.
    ``least_px``: an image gets no number where the shorter side of the part that the model sees has fewer pixels;
    without it only :mod:`firmware_app.imaging.quality.fitness` sets a least size, by the model's input.
    """

    kind: QualityKind = "none"
    photographs: bool = False
    least_px: int | None = Field(None, ge=1, le=LARGEST_SIDE_PX)
    confounders: tuple[Confounder, ...] = ()

    @property
    def demands(self) -> Demands:
        """What is judged where the image is opened."""
        return Demands(self.kind, self.photographs, self.least_px)

    @model_validator(mode="after")
    def _signs_differ(self) -> Self:
        signs = [one.sign for one in self.confounders]
        if len(set(signs)) != len(signs):
            raise ValueError("two confounders have the same sign")
        if "metal" in signs and self.kind != "chest_film":
            raise ValueError("metal is only looked for on the kind chest_film")
        return self
