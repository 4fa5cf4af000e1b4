"""The manifest of a model pack (``manifest.json``, schema ``lantern.pack/1``): the only place a model is described.

It says whom the model may read, what goes in and comes out, how a logit becomes a probability and a decision, how well
that went on films the model had never seen, and where it is weak. Unknown keys are refused, values are frozen.
"""

import hashlib
import math
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from firmware_app.errors import PackManifestInvalid
from firmware_app.imaging.input_spec import FrameRule, InputSpec, QualityKind

SCHEMA = "lantern.pack/1"
FILE_NAME = "manifest.json"
MOST_PIXELS = 16 * 1024 * 1024
"""Of all frames of a clip together, at the model's size: half of what one message to the reader may hold."""

Precision = Literal["fp32", "fp16", "int8"]
RuntimeName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]  # a runtime may come from elsewhere
Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Interval = tuple[Probability, Probability]
Correlation = Annotated[float, Field(ge=-1.0, le=1.0)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def _inside(path: str) -> str:
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\\" in path:
        raise ValueError(f"{path!r} does not stay inside the pack")
    return path


PackPath = Annotated[str, AfterValidator(_inside)]


class Part(BaseModel):
    """One object of the manifest."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class Words(Part):
    """One text in the two languages of the box."""

    en: str = Field(min_length=1)
    zh: str = Field(min_length=1)

    def by_language(self) -> dict[str, str]:
        """The text under the box's language keys, ``en`` and ``zh_CN``."""
        return {"en": self.en, "zh_CN": self.zh}


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


class Frames(Part):
    """How the pack takes a clip (docs/decisions/clips.md): which frames, how many, and what they say together.

    A pack that says nothing reads the middle frame. ``aggregate`` makes one probability of each frame's: the largest,
    or the mean of the ``top`` largest.
    """

    rule: FrameRule = "middle"
    budget: int = Field(1, ge=1, le=16)
    aggregate: Literal["max", "mean_of_top"] = "mean_of_top"
    top: int = Field(2, ge=1)

    @model_validator(mode="after")
    def _one_is_one(self) -> Self:
        if self.rule == "middle" and self.budget != 1:
            raise ValueError(f"the rule “middle” reads one frame, not {self.budget}")
        return self


class Confounder(Part):
    """Something beside the finding that was seen to move this model's number, and by which sign the box tells it.

    ``view_ap``: the header says that a frontal film was taken from the front.  ``bedside``: the words of the
    examination say that it was taken at the bed.  ``metal``: the measure of that name (docs/decisions/quality.md).
    ``why``: how it was seen, with its figure.
    """

    sign: Literal["view_ap", "bedside", "metal"]
    why: str = Field(min_length=1)


class Care(Part):
    """How well an image must have been taken for this pack (docs/decisions/quality.md).

    ``kind`` names the pictures on which the limits were learnt that its images are held against; a pack that says
    nothing has its images held against none.  ``photographs``: it also reads films that were photographed.
    """

    kind: QualityKind = "none"
    photographs: bool = False
    confounders: tuple[Confounder, ...] = ()

    @model_validator(mode="after")
    def _told_once(self) -> Self:
        signs = [one.sign for one in self.confounders]
        if len(set(signs)) != len(signs):
            raise ValueError("two confounders have the same sign")
        if "metal" in signs and self.kind != "chest_film":
            raise ValueError("metal is only looked for on the kind chest_film")
        return self


class Output(Part):
    """The graph's outputs: the class activation map (1, C, h, w), in logits, and perhaps a feature vector (1, F).

    ``full_scale`` is the cell value, in logits, that is drawn at full strength (see :mod:`firmware_app.tasks.explain`).
    """

    map: str = Field(min_length=1)
    features: str | None = None
    full_scale: float = Field(gt=0.0)


class Calibration(Part):
    """Platt (1999): probability = sigmoid(slope · logit + intercept), fitted on validation films."""

    kind: Literal["platt"]
    slope: float = Field(gt=0.0)
    intercept: float


class FindingSpec(Part):
    """One finding: its channel of the map, the classifier's bias, calibration, threshold and how soon to look."""

    code: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    label: Words
    channel: int = Field(ge=0)
    bias: float
    calibration: Calibration
    threshold: Probability
    threshold_rule: str = Field(min_length=1)
    priority: Literal["urgent", "soon"]


class Companion(Part):
    """A file that a model file needs beside itself: the weights of an OpenVINO ``.xml``."""

    path: PackPath
    sha256: Sha256
    bytes: int = Field(gt=0)


class Artefact(Part):
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
    files: tuple[Companion, ...] = ()
    golden_tolerance: Probability | None = None

    @property
    def promised(self) -> tuple[tuple[str, str], ...]:
        """(path, SHA-256) of every file it consists of."""
        return ((self.path, self.sha256), *((one.path, one.sha256) for one in self.files))


class DataSource(Part):
    """A data set the pack was made from, under which licence, and for what it was used."""

    name: str
    licence: str
    citation: str
    use: str
    n_images: int = Field(ge=0)
    n_patients: int | None = Field(None, ge=0)


class Measured(Part):
    """What one artefact scored in one runtime on films kept away from training, and the command that says so.

    Intervals are 95 %, by bootstrap over patients.  ``unfit``: films that no model may see, not among ``n``.
    ``passed``: the share of the ``n`` films that are familiar to the pack, so that the box gives their number;
    ``…_passed`` is of them alone.
    """

    runtime: str
    precision: Precision
    split: str
    n: int = Field(ge=1)
    positives: int = Field(ge=0)
    auc: Probability | None
    auc_ci: Interval | None
    threshold: Probability
    sensitivity: Probability | None
    sensitivity_ci: Interval | None
    specificity: Probability | None
    specificity_ci: Interval | None
    dice: Probability | None = None
    lesion_sensitivity: Probability | None = None
    false_positives_per_image: float | None = Field(None, ge=0.0)
    dice_ci: Interval | None = None
    lesion_sensitivity_ci: Interval | None = None
    ece: Probability | None = None
    ece_ci: Interval | None = None
    brier: Probability | None = None
    brier_ci: Interval | None = None
    unfit: int = Field(0, ge=0)
    passed: Probability | None = None
    passed_ci: Interval | None = None
    auc_passed: Probability | None = None
    auc_passed_ci: Interval | None = None
    sensitivity_passed: Probability | None = None
    sensitivity_passed_ci: Interval | None = None
    specificity_passed: Probability | None = None
    specificity_passed_ci: Interval | None = None
    sensitivity_at_90: Probability | None = None
    sensitivity_at_90_ci: Interval | None = None
    sensitivity_at_95: Probability | None = None
    sensitivity_at_95_ci: Interval | None = None
    command: str


class TestPart(Part):
    """The frozen films that judge the pack: how many, the digest of the list of their names, and how often any version
    was measured on them so far, this one included.  Every look weakens them as judges of the next."""

    films: int = Field(ge=1)
    sha256: Sha256
    looks: int = Field(ge=1)


class Verdict(Part):
    """What the gates said of one artefact beside the FP32 original, on films that neither had learnt from."""

    runtime: RuntimeName
    precision: Precision
    outcome: Literal["passed", "inconclusive"]
    said: str


class Refused(Part):
    """A model file that was made and is not in the pack, and why."""

    runtime: RuntimeName
    precision: Precision
    why: str


class Speed(Part):
    """How long one film took in one artefact where the pack was made: median, 5th and 95th percentile."""

    runtime: str
    precision: Precision
    milliseconds: float = Field(gt=0.0)
    low: float = Field(gt=0.0)
    high: float = Field(gt=0.0)
    threads: int = Field(ge=1)
    machine: str


class Limit(Part):
    """Beyond which distance one artefact's features are those of no image like the training images."""

    runtime: RuntimeName
    precision: Precision
    limit: float = Field(gt=0.0)


class TypicalityFile(Part):
    """The model of what the training images look like (:mod:`firmware_app.tasks.typicality`), and its limits.

    A share ``passes`` of the ``films`` it was fitted to stays below the limit, judged without their own part.
    """

    path: PackPath
    sha256: Sha256
    bytes: int = Field(gt=0)
    passes: Probability
    films: int = Field(ge=1)
    limits: tuple[Limit, ...] = Field(min_length=1)

    def limit_of(self, artefact: Artefact) -> float | None:
        """The limit for an artefact's features; ``None`` where none was set."""
        kind = (artefact.runtime, artefact.precision)
        return next((one.limit for one in self.limits if (one.runtime, one.precision) == kind), None)


class MapAgreement(Part):
    """How one artefact's map agrees with Grad-CAM of the FP32 original: Spearman's rank correlation over the cells.

    ``mean``, ``median``, ``low`` (5th percentile) and ``least`` are over ``n`` films and take every cell (Grad-CAM
    before its ReLU). ``evidence`` is the mean with evidence against the finding cut off on both sides, over
    ``evidence_n`` films: on the others neither map shows any.
    """

    runtime: RuntimeName
    precision: Precision
    n: int = Field(ge=1)
    mean: Correlation
    median: Correlation
    low: Correlation
    least: Correlation
    evidence: Correlation | None = None
    evidence_n: int = Field(0, ge=0)


class Pointing(Part):
    """How often the strongest cell of the map has its middle in the outline of a positive film (Zhang et al. 2018).

    Asked of FP32 networks that had not seen the film; 95 % interval. ``chance`` is the mean share of a film
    that its outline covers.
    """

    n: int = Field(ge=1)
    hits: int = Field(ge=0)
    share: Probability
    share_ci: Interval
    chance: Probability


class Distance(Part):
    """How far a made-up film is from every training film, as evidence that it shows nobody.

    ``nearest`` is the smallest root-mean-square difference to any training film (stretched greys at ``pixels`` square)
    divided by the median distance between a training film and the nearest film of *another* patient: 1 or more means
    that it is no more like any one film than two different people are alike. ``components`` is its rank.
    """

    pixels: int = Field(ge=8)
    components: int = Field(ge=0)
    nearest: float = Field(ge=1.0)
    films: int = Field(ge=1)


class Reference(Part):
    """A real file that a public package brings; never copied into a pack."""

    package: str
    file: str
    sha256: Sha256


class Golden(Part):
    """An image with the probabilities that this pack must give for it, per precision and finding.

    Either ``path`` (an image in the pack: a drawn ``phantom`` or a ``sample`` of the training films' principal
    components) or ``reference``. ``expected`` of a reference may be empty until it has been filled.
    """

    kind: Literal["phantom", "sample", "reference"]
    path: PackPath | None = None
    reference: Reference | None = None
    sha256: Sha256 | None = None
    expected: dict[Precision, dict[str, Probability]]
    tolerance: dict[Precision, Probability]
    distance: Distance | None = None

    @model_validator(mode="after")
    def _one_image(self) -> Self:
        referred = self.reference is not None
        if (self.kind == "reference") != referred or (self.path is None) != referred:
            raise ValueError("a golden case has either a path or, when its kind is reference, a reference")
        if self.path is not None and (self.sha256 is None or not self.expected):
            raise ValueError(f"the golden case {self.path} needs its sha256 and its expected probabilities")
        if self.kind == "sample" and self.distance is None:
            raise ValueError(f"the golden case {self.path} needs its measured distance from the training films")
        return self


class Manifest(Part):
    """A whole manifest. :meth:`load` is how one is read."""

    schema_id: Literal["lantern.pack/1"] = Field(alias="schema")
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    version: str = Field(pattern=r"^\d+\.\d+\.\d+$")
    title: Words
    task: Literal["classify", "segment"]
    route: Route
    input: InputSpec
    frames: Frames = Frames()
    quality: Care = Care()
    output: Output
    findings: tuple[FindingSpec, ...] = Field(min_length=1)
    training_prevalence: Probability
    calibration_prevalence: Probability | None = None
    artefacts: tuple[Artefact, ...] = Field(min_length=1)
    data: tuple[DataSource, ...] = Field(min_length=1)
    measured: tuple[Measured, ...]
    intended_use: Words
    not_for: Words
    weak_points: tuple[Words, ...] = Field(min_length=1)
    golden: tuple[Golden, ...] = ()
    gates: tuple[Verdict, ...] = ()
    refused: tuple[Refused, ...] = ()
    speed: tuple[Speed, ...] = ()
    maps: tuple[MapAgreement, ...] = ()
    pointing: Pointing | None = None
    typicality: TypicalityFile | None = None
    test_part: TestPart | None = None
    made_by: dict[str, str] = {}
    """Step of the converter → digest of the code that did it, "" where it was not noted."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.typicality is not None and self.output.features is None:
            raise ValueError("typicality judges a feature vector, and no output gives one")
        if self.frames.budget > 1 and self.frames.budget * math.prod(self.input.shape) > MOST_PIXELS:
            raise ValueError(f"{self.frames.budget} frames of this input are more than a reader takes at once")
        codes = [finding.code for finding in self.findings]
        if len(set(codes)) != len(codes):
            raise ValueError("two findings share one code")
        kinds = [(artefact.runtime, artefact.precision, artefact.batch) for artefact in self.artefacts]
        if len(set(kinds)) != len(kinds):
            raise ValueError("two artefacts are for the same runtime and precision")
        for golden in self.golden:
            for expected in golden.expected.values():
                unknown = set(expected) - set(codes)
                if unknown:
                    raise ValueError(f"a golden case expects the unknown finding {min(unknown)}")
            if set(golden.expected) - set(golden.tolerance):
                raise ValueError("a golden case expects a precision that has no tolerance")
        return self

    def promise(self, golden: Golden, artefact: Artefact) -> tuple[dict[str, float], float] | None:
        """(finding code → probability, tolerance) that ``artefact`` must meet for a golden case; ``None`` if unsaid."""
        measured = artefact.golden_tolerance is not None
        expected = golden.expected.get("fp32" if measured else artefact.precision)
        if expected is None:
            return None
        tolerance = artefact.golden_tolerance if measured else golden.tolerance[artefact.precision]
        return expected, tolerance or 0.0

    @classmethod
    def load(cls, folder: Path) -> "Manifest":
        """Read ``folder/manifest.json``.

        Raises :class:`~firmware_app.errors.PackManifestInvalid` saying what is wrong with it.
        """
        path = folder / FILE_NAME
        try:
            manifest = cls.model_validate_json(path.read_bytes())
        except OSError as error:
            raise PackManifestInvalid(path=str(path), detail=error.strerror or "it cannot be read") from error
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "the whole"
            raise PackManifestInvalid(path=str(path), detail=f"{where}: {first['msg']}") from error
        if manifest.name != folder.name:
            raise PackManifestInvalid(path=str(path), detail=f"it is the manifest of {manifest.name}")
        return manifest

    def to_json(self) -> str:
        """The manifest as it is stored: indented JSON in the order of the schema, ending in a new line."""
        return self.model_dump_json(by_alias=True, indent=2) + "\n"


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
