"""What a pack requires, as its manifest states: which patients and images it reads, and which computer it runs on.

`Route` and `QualityPolicy` state which patients, and how well an image must have been taken.  `Hardware` states the
processor architectures with their features, and the runtimes.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from firmware_app.imaging.input_spec import LARGEST_SIDE_PX, Demands, QualityKind
from firmware_app.packs.manifest_types import ManifestPart, RuntimeName
from firmware_app.packs.runtimes import registry


class AgeRange(ManifestPart):
    """Ages in completed years, both ends included; ``None`` leaves an end open."""

    min: int | None = Field(None, ge=0, le=150)
    max: int | None = Field(None, ge=0, le=150)

    def contains(self, years: int) -> bool:
        """Whether a person of this age, in completed years, is inside."""
        return (self.min is None or years >= self.min) and (self.max is None or years <= self.max)

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"ages {self.min} to {self.max} are not in order")
        return self


class Route(ManifestPart):
    """Whom the pack may read: DICOM Modality, BodyPartExamined and ViewPosition (PS3.3 C.7.3.1, C.8.1), and age.

    Words are compared in upper case. ``views`` is empty where the modality has none (ultrasound). ``population`` is
    what an image of unknown age is matched to by the clinic's ``[box] usual_population``; ``any`` matches either.
    """

    modalities: tuple[str, ...] = Field(min_length=1)
    body_parts: tuple[str, ...] = Field(min_length=1)
    views: tuple[str, ...] = ()
    age_years: AgeRange
    population: Literal["children", "adult", "any"]


class Confounder(ManifestPart):
    """Something other than the finding that changes this model's number, and the sign by which the box detects it.

    ``view_ap``: the header says that a frontal film was taken from the front.  ``bedside``: the words of the
    examination say that it was taken at the bed.  ``metal``: the measure of that name (docs/decisions/quality.md).
    ``why``: how that was measured, with the figure.
    """

    sign: Literal["view_ap", "bedside", "metal"]
    why: str = Field(min_length=1)


class QualityPolicy(ManifestPart):
    """How well an image must have been taken for this pack (docs/decisions/quality.md).

    ``kind`` names the set of limits that the quality of its images is compared with; ``none`` compares nothing.
    ``photographs``: it also reads films that were photographed.
    ``least_px``: an image gets no number where the shorter side of the part that the model sees has fewer pixels;
    without it only :mod:`firmware_app.imaging.quality_checks` sets a least size, by the model's input.
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
        signs = [confounder.sign for confounder in self.confounders]
        if len(set(signs)) != len(signs):
            raise ValueError("two confounders have the same sign")
        if "metal" in signs and self.kind != "chest_film":
            raise ValueError("metal is only looked for on the kind chest_film")
        return self


Architecture = Literal["x86_64", "aarch64"]
CpuFeature = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]{1,32}$")]


class Hardware(ManifestPart):
    """What a pack wants; the default fits every machine.

    ``architectures``: those it is made for, each with the processor features that it needs there, in the words of
    ``/proc/cpuinfo`` (``{"x86_64": ["avx2"], "aarch64": ["asimddp"]}``); empty: any.  ``runtimes``: one of these must
    be installed; empty: any for which the pack has a file.
    """

    architectures: Mapping[Architecture, tuple[CpuFeature, ...]] = {}
    runtimes: tuple[RuntimeName, ...] = ()

    def find_missing(self) -> str:
        """What this machine lacks, in English for an engineer; empty where it lacks nothing."""
        here, known = platform.machine(), {str(name): wanted for name, wanted in self.architectures.items()}
        if known and here not in known:
            return f"it is for {' or '.join(sorted(known))}, and this is {here}"
        absent = sorted(set(known.get(here, ())) - cpu_features())
        if absent:
            return f"the processor lacks {', '.join(absent)}"
        if self.runtimes and not set(self.runtimes) & set(registry.list_runtimes()):
            return f"it needs {' or '.join(self.runtimes)}, which is not installed"
        return ""


@cache
def cpu_features(cpuinfo: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """What the processor can do, as the kernel names it."""
    try:
        lines = cpuinfo.read_text("utf-8", "replace").splitlines()
    except OSError:
        return frozenset()
    named = (line.partition(":")[2] for line in lines if line.split(":")[0].strip() in ("flags", "Features"))
    return frozenset(next(named, "").split())
