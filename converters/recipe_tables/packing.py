"""The tables of a recipe about what ships: [export], [quantize], gates, operating point, typicality, reference."""

from typing import Literal, Self

from pydantic import Field, model_validator

from converters.recipe_tables.table import RuntimeName, Table


class Export(Table):
    """The files to write; without runtimes all. ``static`` adds the batch-1 files for an NPU and TensorRT."""

    runtimes: tuple[RuntimeName, ...] = ()
    precisions: tuple[Literal["fp32", "fp16", "int8"], ...] = ("fp32", "fp16", "int8")
    static: bool = False


class Quantize(Table):
    """How INT8 files are made.

    Where no method passes the gates, ``accuracy_control`` lets NNCF return operators to float; where that does not pass
    either, ``qat_epochs`` of quantization-aware fine-tuning follow.
    """

    films: int = Field(256, ge=1)
    qat_epochs: int = Field(0, ge=0)
    accuracy_control: bool = True


class Typicality(Table):
    """Which films resemble the training films (:mod:`converters.packing.typicality_model`)."""

    other_clinics: bool = False
    """Each film counts twice, as it is and mildly varied as another clinic's machine might give it
    (:mod:`converters.synthetic_images.acquisition_shift`).
    For chest films; not for ultrasound, where it lets strange images through."""


class Cost(Table):
    """What a missed lesion costs, in false alarms, and how common the finding is at the clinic.

    Without ``prevalence`` that of the training films is taken. The decision threshold at that prevalence is
    ``1 / (1 + miss)``.
    """

    miss: float = Field(5.0, gt=0.0)
    prevalence: float | None = Field(None, gt=0.0, lt=1.0)


class OperatingPoint(Table):
    """How the threshold is chosen on out-of-fold predictions.

    ``sensitivity``: the highest threshold that reaches ``at_least``; ``cost``: from :class:`Cost`.
    """

    rule: Literal["sensitivity", "cost"] = "cost"
    at_least: float = Field(0.95, gt=0.0, le=1.0)
    standardise: bool = Field(False, exclude=True)  # says nothing of the steps before, so their marks are without it
    """The threshold follows the scores of a machine's first films (:mod:`firmware_app.core.operating_point`).
    For ``classify`` with one finding; the scores at home are mixed at the ``prevalence`` of [cost]."""


class Abstain(Table):
    """When a film gets no number because the model is not sure of it (:mod:`firmware_app.packs.manifest`)."""

    error: float | None = Field(None, gt=0.0, lt=0.5)
    """Of films like those at home, at most this share of each class may be called the other one; the limits between
    which no number is given follow from it. Unsaid: every film that is familiar gets a number."""
    disagreement: float = Field(0.05, ge=0.0, lt=0.5)
    """Of a pair of networks: the share of held-back films of which the two say the most different probabilities; films
    on which they disagree as much get no number."""


class Gate(Table):
    """What an artefact may lose against the FP32 original, on the same films, before it is refused."""

    auc_loss: float = Field(0.005, ge=0.0)
    sensitivity_loss: float = Field(0.01, ge=0.0)
    few_positives: int = Field(300, ge=0)
    most_lost: int = Field(1, ge=0)
    dice_loss: float = Field(0.02, ge=0.0)
    auc_at_least: float = Field(0.5, ge=0.0, le=1.0)
    kappa_loss: float = Field(0.02, ge=0.0)
    error_growth: float = Field(0.05, ge=0.0)
    """By which share of itself the mean absolute error of a measured number may grow."""
    speed_at_least: float = Field(1.0, ge=0.0)
    """How many times as fast as the float file of its runtime an INT8 file must be, on the machine that makes it."""
    int8_at_least: float = Field(0.9, ge=0.0, le=1.0)
    """The least share of an INT8 file's convolutions and matrix products that its runtime computes in INT8."""

    map_correlation: float = Field(0.9, ge=-1.0, le=1.0)
    """The least mean rank correlation of an artefact's activation map with Grad-CAM
    (:mod:`converters.explanation.grad_cam`)."""


class Reference(Table):
    """The results of your own script on the home films (:mod:`converters.evaluation.reference`): one of the two.

    ``function`` = ``"package.module:function"`` gets a film's path, opens it as the network's own code does, and gives
    a number, higher for the finding. ``scores`` is a CSV beside the recipe with the columns ``file`` and ``score``.
    """

    function: str | None = None
    scores: str | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.function is None) == (self.scores is None):
            raise ValueError("give function or scores, one of them")
        return self
