"""The evidence in a manifest: what a pack was made from, how its artefacts scored, and its golden cases."""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from firmware_app.imaging.input_spec import Crop
from firmware_app.packs.manifest_types import (
    Correlation,
    Interval,
    ManifestPart,
    PackPath,
    Precision,
    Probability,
    RuntimeName,
    Sha256,
)


class DataSource(ManifestPart):
    """A data set that the pack was made from, its licence, and for what it was used."""

    name: str
    licence: str
    citation: str
    use: str
    n_images: int = Field(ge=0)
    n_patients: int | None = Field(None, ge=0)


class Statistic(ManifestPart):
    """One number beside those of the first finding: ``name`` (``auc``, ``macro_auc``, ``kappa``, ``mae`` …) and what it
    is ``of``: a finding's code, or the empty word where it is of the pack as a whole; ``interval`` is 95 %."""

    name: str
    of: str
    value: float | None
    interval: tuple[float, float] | None


UNSEEN = "unseen"
"""How the row of a network is called that had not seen a source: ``unseen[view=AP]``."""


class Measurement(ManifestPart):
    """How one artefact scored in one runtime on films kept away from training, and the command that measures it.

    Intervals are 95 %, by bootstrap over patients.  ``unfit`` counts films that no model may see; they are not among
    ``n``.  ``passed`` is the share of the ``n`` films for which the box gives a number: they are familiar to the pack,
    and it is sure of them; ``…_passed`` are the scores of these films alone.  ``wrong`` is the share that is called
    what it is not.
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
    without_mark: Probability | None = None
    """Of the films without a lesion, the share on which nothing is marked."""
    without_mark_ci: Interval | None = None
    organ_dice: Probability | None = None
    organ_dice_ci: Interval | None = None
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
    wrong: Probability | None = None
    wrong_ci: Interval | None = None
    wrong_passed: Probability | None = None
    wrong_passed_ci: Interval | None = None
    sensitivity_at_90: Probability | None = None
    sensitivity_at_90_ci: Interval | None = None
    sensitivity_at_95: Probability | None = None
    sensitivity_at_95_ci: Interval | None = None
    command: str
    statistics: tuple[Statistic, ...] = ()

    @property
    def unseen(self) -> bool:
        """Whether it is not of the pack, but of a network of its recipe on a source that it had not seen."""
        return self.split.startswith(f"{UNSEEN}[")


class ExternalValidation(ManifestPart):
    """How one artefact scored on films of another place than those that the pack was made from, and the command.

    Every film is asked about as the box would, with its refusals: by age and view as far as the set says them, by
    quality, by typicality, and where the pack is not sure.  ``passed`` is the share of the ``n`` films that get a
    number, and ``…_passed`` are the counts and scores of these alone; the others are of all ``scored`` films, that is
    without those of which no model input can be made.  ``wrong`` is the share that is called what it is not.
    ``refused`` counts the films without a number by the code of their refusal.  ``set_aside`` films, of patients that
    the pack was made from or copies of its films, are not among ``n``.  ``why`` says of each number that is missing why
    it is.  Intervals are 95 %, patients resampled.
    """

    source: str
    licence: str | None = None
    citation: str | None = None
    runtime: RuntimeName
    precision: Precision
    n: int = Field(ge=1)
    positives: int = Field(ge=0)
    set_aside: int = Field(0, ge=0)
    passed: Probability
    passed_ci: Interval
    n_passed: int = Field(ge=0)
    positives_passed: int = Field(ge=0)
    scored: int = Field(ge=0)
    threshold: Probability
    auc: Probability | None
    auc_ci: Interval | None
    sensitivity: Probability | None
    sensitivity_ci: Interval | None
    specificity: Probability | None
    specificity_ci: Interval | None
    wrong: Probability | None
    wrong_ci: Interval | None
    auc_passed: Probability | None
    auc_passed_ci: Interval | None
    sensitivity_passed: Probability | None
    sensitivity_passed_ci: Interval | None
    specificity_passed: Probability | None
    specificity_passed_ci: Interval | None
    wrong_passed: Probability | None
    wrong_passed_ci: Interval | None
    refused: dict[str, int] = Field(default_factory=dict)
    why: dict[str, str] = Field(default_factory=dict)
    command: str = ""


class FrozenTestSet(ManifestPart):
    """The frozen test films: how many, the digest of the list of their names, and how often any version of the pack was
    measured on them so far, this one included.  Each such look makes them weaker evidence for the next version."""

    films: int = Field(ge=1)
    sha256: Sha256
    looks: int = Field(ge=1)


class CropChange(ManifestPart):
    """The crop of the input before it was changed after training (``was``).

    The test part was measured with the new crop; held-back films, gates and maps with the old one. Of the ``films``
    outside the test part, the new crop changes ``other``.
    """

    was: Crop
    films: int = Field(ge=1)
    other: int = Field(ge=0)


class GateVerdict(ManifestPart):
    """The result of the gates for one artefact, against the FP32 original on films that neither was trained on."""

    runtime: RuntimeName
    precision: Precision
    outcome: Literal["passed", "inconclusive"]
    said: str


class RefusedArtefact(ManifestPart):
    """A model file that was made and left out of the pack, and why."""

    runtime: RuntimeName
    precision: Precision
    why: str


class ReferenceAgreement(ManifestPart):
    """How the box's input agrees with the network's own script: AUCs over the same ``n`` films outside the test part.

    ``script`` is the function, or the file of scores, that was asked at home. ``change`` is ``auc_box - auc_home`` with
    its 95 % interval, patients resampled; it may not fall below ``-allowed``.
    """

    script: str
    outcome: Literal["passed", "inconclusive"]
    n: int = Field(ge=1)
    auc_home: Probability
    auc_box: Probability
    change: Correlation
    change_ci: tuple[Correlation, Correlation]
    allowed: float = Field(ge=0.0)


class InferenceSpeed(ManifestPart):
    """How long one film took in one artefact where the pack was made: median, 5th and 95th percentile."""

    runtime: str
    precision: Precision
    milliseconds: float = Field(gt=0.0)
    low: float = Field(gt=0.0)
    high: float = Field(gt=0.0)
    threads: int = Field(ge=1)
    machine: str


class MapAgreement(ManifestPart):
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


class PointingAccuracy(ManifestPart):
    """How often the strongest cell of the map has its middle in the outline of a positive film (Zhang et al. 2018).

    Measured with FP32 networks that were not trained on the film; 95 % interval. ``chance`` is the mean share of a
    film that its outline covers.
    """

    n: int = Field(ge=1)
    hits: int = Field(ge=0)
    share: Probability
    share_ci: Interval
    chance: Probability


class TrainingDistance(ManifestPart):
    """How far a synthetic film is from every training film, as evidence that it shows no real patient.

    ``nearest`` is the smallest root-mean-square difference to any training film (stretched greys at ``pixels`` square)
    divided by the median distance between a training film and the nearest film of *another* patient. At 1 or more it
    resembles no film more than films of two patients resemble each other. ``components`` is the rank of the synthesis.
    """

    pixels: int = Field(ge=8)
    components: int = Field(ge=0)
    nearest: float = Field(ge=1.0)
    films: int = Field(ge=1)


class ReferenceImage(ManifestPart):
    """A real image in a public package; it is never copied into a pack."""

    package: str
    file: str
    sha256: Sha256


class GoldenCase(ManifestPart):
    """An image and the answer that this pack must give for it, per precision, in the form of its task.

    Either ``path`` (an image in the pack: a drawn ``phantom`` or a ``sample`` of the training films' principal
    components) or ``reference``. ``expected`` of a reference may be empty until the answers are measured.
    """

    kind: Literal["phantom", "sample", "reference"]
    path: PackPath | None = None
    reference: ReferenceImage | None = None
    sha256: Sha256 | None = None
    expected: dict[Precision, Any]
    tolerance: dict[Precision, Probability]
    distance: TrainingDistance | None = None

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
