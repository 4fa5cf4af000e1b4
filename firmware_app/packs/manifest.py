"""The manifest of a model pack (``manifest.json``, schema ``lantern.pack/1``): the only place a model is described.

It states which patients the model may read, its inputs and outputs, how a logit becomes a probability and a decision,
its accuracy on unseen images, and its weaknesses.  Unknown keys are refused, values are frozen.

`AbstentionRange` states when an image gets no number because the model is not sure of it: its probability lies where
both classes lie.  This is split-conformal prediction, each class by itself ("Mondrian": Vovk, Gammerman & Shafer 2005;
Angelopoulos & Bates 2023, Found. Trends Mach. Learn. 16:494).  Of images like those of the pack's home, at most a share
``error`` of those with the finding lie at or below ``low``, and at most so many of those without it at or above
``high``.  Between the two an image may show the finding or not (or, where the classes lie wide apart, looks like
neither), and the box gives no number.
"""

import hashlib
import math
from functools import cache
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, Field, ValidationError, create_model, model_validator

from firmware_app.imaging.input_spec import InputSpec
from firmware_app.packs import manifest_types
from firmware_app.packs.errors import PACK_FOLDER_RENAMED, PackManifestInvalid, PackTaskUnread
from firmware_app.packs.evidence import (
    CropChange,
    DataSource,
    ExternalValidation,
    FrozenTestSet,
    GateVerdict,
    GoldenCase,
    InferenceSpeed,
    MapAgreement,
    Measurement,
    PointingAccuracy,
    ReferenceAgreement,
    RefusedArtefact,
)
from firmware_app.packs.follow_up_rules import FollowUpRules as FollowUpRules
from firmware_app.packs.manifest_types import (
    Interval,
    LocalisedText,
    ManifestPart,
    PackPath,
    Precision,
    Probability,
    RuntimeName,
    Sha256,
)
from firmware_app.packs.requirements import Hardware, QualityPolicy, Route
from firmware_app.packs.tasks import registry
from firmware_app.packs.tasks.interface import FindingPart, FramePolicy, OutputPart, Section, Task


class AbstentionRange(ManifestPart):
    """The limits, as probabilities at the prevalence of the pack's calibration, and what they cost at home.

    ``films`` were held back from the networks that judged them; ``given`` is the share of these that gets a number, and
    ``wrong`` the share of those with one that is wrong, with limits that were set without the film's own part.
    Intervals are 95 %, patients resampled.
    """

    error: float = Field(gt=0.0, lt=0.5)
    low: Probability
    high: Probability
    films: int = Field(ge=1)
    given: Probability
    given_ci: Interval
    wrong: Probability | None = None
    wrong_ci: Interval | None = None

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"the limits {self.low} and {self.high} are not ordered")
        return self

    def is_unsure(self, probability: float) -> bool:
        """Whether a film of this probability gets no number."""
        return self.low <= probability <= self.high


SCHEMA = "lantern.pack/1"
MANIFEST_FILE = "manifest.json"
_TASK = r"^[a-z][a-z0-9_-]{0,31}$"
MOST_PIXELS = 16 * 1024 * 1024
"""The most pixels of all frames of a clip together, at the model's size: half of the largest message to the reader."""


class CompanionFile(ManifestPart):
    """A file that a model file needs beside itself: the weights of an OpenVINO ``.xml``."""

    path: PackPath
    sha256: Sha256
    bytes: int = Field(gt=0)


class Artefact(ManifestPart):
    """One model file for one runtime and precision.

    ``batch`` says how many films it takes at once. ``golden_tolerance`` is how far its probabilities may lie from the
    golden cases' ``fp32`` ones; without it a case's own tolerance for the precision holds. Whether its tensors are
    whole numbers is the runtime module's business, which takes and gives float32.
    """

    path: PackPath
    runtime: RuntimeName
    precision: Precision
    sha256: Sha256
    bytes: int = Field(gt=0)
    opset: int | None = Field(None, ge=1)
    batch: Literal["dynamic", 1] = "dynamic"
    files: tuple[CompanionFile, ...] = ()
    golden_tolerance: Probability | None = None

    @property
    def digests(self) -> tuple[tuple[str, str], ...]:
        """(path, SHA-256) of every file it consists of."""
        return ((self.path, self.sha256), *((file.path, file.sha256) for file in self.files))


class DistanceLimit(ManifestPart):
    """The distance beyond which one artefact's features count as unlike those of the training images."""

    runtime: RuntimeName
    precision: Precision
    limit: float = Field(gt=0.0)


class TypicalityFile(ManifestPart):
    """The model of what the training images look like (:mod:`firmware_app.packs.typicality`), and its limits.

    In cross-validation a share ``passes`` of the ``films`` stays below the limit. With ``varied`` each film counts
    twice: as it is, and as another clinic's machine might give it. ``unseen``, where known, is the factor by which the
    limits are wider for films that the network has not learnt from.
    """

    path: PackPath
    sha256: Sha256
    bytes: int = Field(gt=0)
    passes: Probability
    films: int = Field(ge=1)
    varied: bool = False
    unseen: float | None = Field(None, ge=1.0)
    limits: tuple[DistanceLimit, ...] = Field(min_length=1)

    def find_limit(self, artefact: Artefact) -> float | None:
        """The limit for an artefact's features; ``None`` where none was set."""
        kind = (artefact.runtime, artefact.precision)
        return next((limit.limit for limit in self.limits if (limit.runtime, limit.precision) == kind), None)


class _Named(BaseModel):
    """What must be known of a manifest before the rest can be read."""

    task: str = Field(pattern=_TASK)


class Manifest(ManifestPart):
    """A whole manifest; :meth:`load` is how one is read.

    ``output`` and ``findings`` belong to the task: a real manifest is of the class that :meth:`for_task` makes.
    """

    schema_id: Literal["lantern.pack/1"] = Field(alias="schema")
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    version: str = Field(pattern=r"^\d+\.\d+\.\d+$")
    title: LocalisedText
    task: str = Field(pattern=_TASK)
    route: Route
    input: InputSpec
    frames: FramePolicy = FramePolicy()
    quality: QualityPolicy = QualityPolicy()
    hardware: Hardware = Hardware()
    weights_licence: str | None = Field(None, pattern=manifest_types.SPDX_PATTERN, max_length=64)
    """The licence of the weights, an SPDX identifier; ``None`` in packs from before it was asked for."""
    follow_up: FollowUpRules | None = None
    output: OutputPart
    findings: tuple[FindingPart, ...] = Field(min_length=1)
    training_prevalence: Probability
    calibration_prevalence: Probability | None = None
    artefacts: tuple[Artefact, ...] = Field(min_length=1)
    data: tuple[DataSource, ...] = Field(min_length=1)
    measured: tuple[Measurement, ...]
    measured_elsewhere: tuple[ExternalValidation, ...] = ()
    intended_use: LocalisedText
    not_for: LocalisedText
    not_looked_for: LocalisedText | None = None
    """A short list for the doctor, shown beside every result: "nodules and masses, fractures"."""
    weak_points: tuple[LocalisedText, ...] = Field(min_length=1)
    golden: tuple[GoldenCase, ...] = ()
    gates: tuple[GateVerdict, ...] = ()
    refused: tuple[RefusedArtefact, ...] = ()
    speed: tuple[InferenceSpeed, ...] = ()
    maps: tuple[MapAgreement, ...] = ()
    pointing: PointingAccuracy | None = None
    reference: ReferenceAgreement | None = None
    typicality: TypicalityFile | None = None
    abstain: AbstentionRange | None = None
    test_part: FrozenTestSet | None = None
    recut: CropChange | None = None
    made_by: dict[str, str] = Field(default_factory=dict)
    """Step of the converter → digest of the code that did it, "" where it was not noted."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.typicality is not None and self.output.features is None:
            raise ValueError("typicality judges a feature vector, and no output gives one")
        if self.frames.budget > 1 and self.frames.budget * math.prod(self.input.shape) > MOST_PIXELS:
            raise ValueError(f"{self.frames.budget} frames of this input are more than a reader takes at once")
        if self.quality.least_px is not None and self.input.depth is not None:
            raise ValueError("least_px is a least size of films, and the model reads volumes")
        if self.abstain is not None and len(self.findings) > 1:
            raise ValueError("abstain says when the one finding is unsure, and there are several")
        if len(self.findings) > 1 and any(finding.usual_scores is not None for finding in self.findings):
            raise ValueError("usual_scores are those of the one finding, and there are several")
        codes = [finding.code for finding in self.findings]
        if len(set(codes)) != len(codes):
            raise ValueError("two findings share one code")
        if self.follow_up is not None and (unknown := self.follow_up.findings() - set(codes)):
            raise ValueError(f"follow_up names the finding {min(unknown)}, which the pack does not have")
        kinds = [(artefact.runtime, artefact.precision, artefact.batch) for artefact in self.artefacts]
        if len(set(kinds)) != len(kinds):
            raise ValueError("two artefacts are for the same runtime and precision")
        for golden in self.golden:
            for expected in golden.expected.values():
                self.task_module.expectation(self.section, expected)
            if set(golden.expected) - set(golden.tolerance):
                raise ValueError("a golden case expects a precision that has no tolerance")
        return self

    @property
    def files(self) -> dict[str, str]:
        """Path -> SHA-256 of every model file."""
        return dict(sorted(promised for artefact in self.artefacts for promised in artefact.digests))

    @property
    def task_module(self) -> Task:
        """The module of its task."""
        return registry.get_task(self.task)

    @property
    def section(self) -> Section:
        """What it says to its task."""
        return Section(self.output, self.findings, self.frames)

    def find_expectation(self, golden: GoldenCase, artefact: Artefact) -> tuple[Any, float] | None:
        """(expected answer, tolerance) that ``artefact`` must meet for a golden case; ``None`` if unsaid."""
        measured = artefact.golden_tolerance is not None
        expected = golden.expected.get("fp32" if measured else artefact.precision)
        if expected is None:
            return None
        tolerance = artefact.golden_tolerance if measured else golden.tolerance[artefact.precision]
        return self.task_module.expectation(self.section, expected), tolerance or 0.0

    @staticmethod
    @cache
    def for_task(key: str) -> "type[Manifest]":
        """The manifests of packs for one task; raises :class:`LookupError` for a task that is not installed."""
        task = registry.get_task(key)
        return create_model(
            "Manifest",
            __base__=Manifest,
            output=(task.Output, ...),
            findings=(tuple[task.Finding, ...], Field(min_length=1)),  # type: ignore[name-defined]
        )

    @classmethod
    def load(cls, folder: Path) -> "Manifest":
        """Read ``folder/manifest.json``.

        Raises :class:`~firmware_app.core.errors.PackManifestInvalid` saying what is wrong with it, and
        :class:`~firmware_app.core.errors.PackTaskUnread` where no module of this box has its task.
        """
        path = folder / MANIFEST_FILE
        try:
            data = path.read_bytes()
            task = _read_task(data)
            manifest = (Manifest if task is None else cls.for_task(task)).model_validate_json(data)
        except LookupError as error:
            raise PackTaskUnread(pack=folder.name, task=str(task)) from error
        except OSError as error:
            raise PackManifestInvalid(path=str(path), detail=error.strerror or "it cannot be read") from error
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "the whole"
            raise PackManifestInvalid(path=str(path), detail=f"{where}: {first['msg']}") from error
        if manifest.name != folder.name:
            raise PACK_FOLDER_RENAMED(path=str(folder), pack=manifest.name)
        return manifest

    def to_json(self) -> str:
        """The manifest as it is stored: indented JSON in the order of the schema, ending in a new line."""
        return self.model_dump_json(by_alias=True, indent=2) + "\n"


def _read_task(data: bytes) -> str | None:
    """The task that a manifest names; ``None`` where it names none, which its validation then says."""
    try:
        return _Named.model_validate_json(data).task
    except ValidationError:
        return None


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
