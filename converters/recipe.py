"""A recipe: everything that turns a folder of films into one pack, as one TOML file.

Unknown keys are refused. ``seed`` fixes the splits, the augmentation and the order of films. Each table belongs to one
step; a step is done again when its table, or one before it, has changed (:mod:`converters.workflow.ledger`).
"""

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializeAsAny,
    ValidationError,
    model_validator,
)

from converters.failures import RecipeInvalid
from firmware_app.imaging.input_spec import Crop, Greys, Resize
from firmware_app.packs.runtimes import registry


def _installed(runtime: str) -> str:
    if runtime not in registry.list_runtimes():
        raise ValueError(f"the runtimes that are installed are {', '.join(registry.list_runtimes())}")
    return runtime


RuntimeName = Annotated[str, AfterValidator(_installed)]
Share = Field(ge=0.0, le=1.0)


class Table(BaseModel):
    """One table of a recipe."""

    model_config = ConfigDict(extra="forbid", frozen=True)


ClassWords = str | tuple[str, ...]
"""One word of a data set, or several that mean one class."""
Reader = Literal["folder", "nih-adults", "medmnist", "masks", "volumes", "hannover"]


class Beside(Table):
    """One more labelled set of a recipe: a folder or file beside ``--data``, and how it is read."""

    path: str
    reader: Reader
    positive: ClassWords | None = None
    """Its own words for the positive class; else those of [data]."""
    negative: ClassWords | None = None
    """Its own words for the negative class; else, where it has no ``positive`` of its own, those of [data]."""
    weight: float = Field(1.0, gt=0.0)
    """How often its films are drawn beside those of [data], where [train] ``even`` names ``source``."""
    own_head: bool = False
    """Its label is learnt through an output channel of its own, which is not exported: for a label that means something
    else than that of [data], or that a program took from reports. Its films shape the features and judge nothing."""

    @model_validator(mode="after")
    def _both(self) -> Self:
        _check_words(self.positive, self.negative)
        if self.own_head and self.reader == "hannover":
            raise ValueError("own_head needs films of both classes; the films of Hannover are all positive")
        return self

    @property
    def name(self) -> str:
        """The last part of its path: what its films and the trait ``source`` are called by."""
        return Path(self.path).name


class Elsewhere(Table):
    """A labelled set of another place, which judges the finished pack and is never learnt from.

    ``path`` starts from the folder that holds ``--data``; a set that is not there is left out, and a line says so.
    """

    path: str
    title: str = ""
    """What its row is called; else the last part of its path, and its part."""
    part: str | None = None
    """One of its own parts, such as ``under-18``."""
    reader: Reader | None = None
    """Without it, its form is recognised, as that of ``evaluate --data`` is."""
    positive: ClassWords | None = None
    negative: ClassWords | None = None
    """As in [data]; needs a ``reader``."""

    @model_validator(mode="after")
    def _read_by_words(self) -> Self:
        if self.reader is None and (self.negative is not None or isinstance(self.positive, tuple)):
            raise ValueError("several positive words, and negative, need a reader")
        _check_words(self.positive, self.negative)
        return self

    @property
    def name(self) -> str:
        """What its row is called."""
        return self.title or "-".join(word for word in (Path(self.path).stem, self.part) if word)


OneTable = TypeVar("OneTable", bound=Table)


def _check_words(positive: ClassWords | None, negative: ClassWords | None) -> None:
    if negative is not None and positive is None:
        raise ValueError("negative goes with positive: name the words of both classes")


class Data(Table):
    """Which reader opens ``--data``, the word for the positive class, and how films are divided.

    ``test`` is the share that is frozen; every look at it is noted. The rest is divided into ``folds`` parts; each film
    is predicted by a model that has not seen it. With one fold, ``val`` is the share held back.
    """

    reader: Reader
    positive: ClassWords | None = None
    """The class, or the classes, of films that show the finding. Not for tasks that make more of a label than yes or
    no: they read the data set's own words."""
    negative: ClassWords | None = None
    """The classes of films that do not show it; films of neither are left out, and a line says how many. Without it
    every class but the positive one is negative. Of films with several labels (``Edema|Mass``) one positive word makes
    the film positive."""
    folds: int = Field(3, ge=1, le=20)
    val: float = Field(0.15, gt=0.0, lt=0.5)
    test: float = Field(0.15, gt=0.0, lt=0.5)
    beside: tuple[Beside, ...] = ()
    """Further labelled sets. Each film then has the trait ``source``, so ``leave_out = "source"`` leaves out a set. A
    film of theirs that belongs to the frozen test part, by its patient or as a copy, is left out."""
    unlabelled: tuple[str, ...] = ()
    """Folders or .npz files, beside ``--data``, whose films only a teacher labels (distillation); those that belong to
    the test part are left out."""
    leave_out: str | None = None
    """A trait (``source``, ``view``, ``slice`` …): each of its values is also judged by a network that never saw it."""

    @property
    def own_heads(self) -> tuple[str, ...]:
        """The sets that are learnt through a channel of their own, in the order of these channels, from 1."""
        return tuple(one.name for one in self.beside if one.own_head)

    @model_validator(mode="after")
    def _names_of_their_own(self) -> Self:
        if len({one.name for one in self.beside}) < len(self.beside):
            raise ValueError("two sets of beside have the same name")
        _check_words(self.positive, self.negative)
        return self


class Input(Table):
    """The model input: what the network was trained on; see :class:`firmware_app.imaging.model_input.InputSpec`."""

    name: str = "film"
    size: int = Field(224, ge=16, le=1024)
    depth: int | None = Field(None, ge=4, le=1024)
    """Slices of a volume; a film has none."""
    low_percentile: float = 0.5
    high_percentile: float = 99.5
    crop: Crop = "whole"
    """``sector``: of an ultrasound picture the sector alone is read, without rulers and text; ``frame``: a film without
    the even frame that may lie around it."""
    despeckle: Literal["none", "lee"] = "none"
    resize: Resize = "squash"
    """``squash``: each side by itself; ``letterbox``: the aspect is kept, with black bars beside the film."""
    greys: Greys = "percentiles"
    """What becomes 0 and 1: ``percentiles`` of the film, or with ``full`` black and white of the file (0 and 255 of 8
    bits, a DICOM image's window)."""
    colour: Literal["grey", "rgb", "bgr"] = "grey"
    """``rgb``, ``bgr``: the network is shown the film's colours, in this order."""
    range: tuple[float, float] = (0.0, 1.0)
    """What 0 and 1 become for the network: [-1, 1], [0, 255], [-1024, 1024]. It becomes part of the model file."""

    @model_validator(mode="after")
    def _films_alone(self) -> Self:
        if self.depth is not None and (self.crop, self.despeckle) != ("whole", "none"):
            raise ValueError("a volume has no sector or frame to crop to and no speckle")
        if self.depth is not None and (self.colour, self.resize, self.greys) != ("grey", "squash", "percentiles"):
            raise ValueError("a volume has no colours, no letterbox and no black and white of its own")
        if self.colour != "grey" and self.despeckle != "none":
            raise ValueError("speckle is smoothed in greys, not in colours")
        if self.range[0] == self.range[1]:
            raise ValueError("the two ends of range are the same number")
        return self


class Net(Table):
    """The networks, by their names in :mod:`converters.nets`; or one of your own.

    ``build`` = ``"package.module:function"`` makes a ``torch.nn.Module``; ``weights`` is its checkpoint and ``onnx`` a
    finished model file, both beside the recipe. ``features`` and ``classifier`` name the submodules between which a
    global mean stands: then the pack gets an activation map. See ``docs/your-own-model.md``.
    """

    teacher: str | None = None
    student: str | None = None
    members: tuple[str, ...] = ()
    """Of ``student = "pair"``: two unlike networks of :mod:`converters.nets` (:mod:`converters.nets.pair`)."""
    backbone: str | None = None
    """A network of :mod:`converters.nets.backbones`, with as many outputs as the task has; ``weights`` may be those of
    torchvision's network of the same name."""
    build: str | None = None
    weights: str | None = None
    onnx: str | None = None
    features: str | None = None
    classifier: str | None = None
    output: str | None = None
    """Which output is taken, where there are several: its name, or the key of what a module returns."""
    channel: int = Field(0, ge=0)
    """The finding's channel of that output."""
    softmax: bool = False
    """The output's classes share a softmax: the finding's logit is its channel less the log-sum-exp of the others, of
    two classes less the other one."""
    answer: Literal["logit", "probability"] | None = None
    """What the output gives. Unsaid: logits, and what looks like probabilities is refused."""
    random: bool = False
    """``build`` without ``weights`` is meant: to be trained from random numbers, or it loads its own."""
    colours: Literal[1, 3] = 1
    """3: the grey film is given three times, as a network for photographs wants it, or its colours ([input] colour)."""
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    """``(x - mean) / std`` before the network, for x in the ``range`` of [input], one number a colour."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if sum(one is not None for one in (self.student, self.backbone, self.build, self.onnx)) != 1:
            raise ValueError("name exactly one of student, backbone, build and onnx")
        if (self.student == "pair") != bool(self.members) or len(set(self.members)) not in (0, 2):
            raise ValueError('members are two unlike networks of student = "pair", and of it alone')
        if (self.features is None) != (self.classifier is None):
            raise ValueError("features and classifier belong together")
        if self.build is None and self.features is not None:
            raise ValueError("features and classifier are submodules: they belong to build")
        if len(self.mean) != len(self.std) or (self.mean and len(self.mean) != self.colours) or 0.0 in self.std:
            raise ValueError("mean and std have one number for each of the colours, and no std is 0")
        if self.answer == "probability" and (self.softmax or self.features is not None):
            raise ValueError("softmax, features and classifier are of class scores; probabilities need none of them")
        if self.build is not None and self.weights is None and not self.random:
            raise ValueError(
                "build without weights is a network of random numbers: name its checkpoint as weights, "
                "or say random = true where that is meant or where the function loads its own"
            )
        if self.random and (self.build is None or self.weights is not None):
            raise ValueError("random = true is for build without weights")
        return self

    @property
    def is_foreign(self) -> bool:
        """Whether the network that ships is one of your own."""
        return self.student is None


class Changes(Table):
    """How far training films are changed, their masks and boxes with them (:mod:`converters.training.augment`).

    Of volumes only ``flip``, ``gamma`` and ``noise`` are obeyed.

    ``rotation`` is in degrees; ``shift``, ``zoom_in``, ``zoom_out``, ``aspect``, ``gamma``, ``noise`` and ``window``
    say how far, in fractions of the film's side or of its grey range; the rest are shares of the films.
    """

    rotation: float = 10.0
    shift: float = 0.08
    zoom_in: float = 0.30
    zoom_out: float = 0.12
    aspect: float = 0.12
    gamma: float = 0.35
    noise: float = 0.04
    blur: float = 0.4
    erase: float = 0.4
    flip: float = 0.0
    paste: float = 0.0
    """Share of films onto which a lesion of another film is pasted (needs masks)."""
    jpeg: float = Field(0.3, ge=0.0, le=1.0)
    resolution: float = Field(0.0, ge=0.0, le=1.0)
    """Sampled down to 20 to 80 % of the side and back."""
    sharpness: float = Field(0.0, ge=0.0, le=1.0)
    """Blurred or sharpened."""
    window: float = Field(0.0, ge=0.0, lt=0.5)
    """The most of the grey range that is clipped at either end."""
    local_contrast: float = Field(0.0, ge=0.0, le=1.0)
    """Each place less its surroundings' mean, over their spread (:mod:`converters.training.machine_marks`)."""
    borders: float = Field(0.0, ge=0.0, le=1.0)
    """Drawn into a black or white frame."""
    letters: float = Field(0.0, ge=0.0, le=1.0)
    """With letters or digits burned in."""
    icons: float = Field(0.0, ge=0.0, le=1.0)
    """With body markers, calipers or rulers drawn in, as ultrasound machines do; in the task ``lesions`` never on a
    lesion."""


class Fit(Table):
    """One fit of one network."""

    epochs: int = Field(6, ge=1)
    batch: int = Field(48, ge=2)
    learning_rate: float = Field(1e-3, gt=0.0)
    weight_decay: float = Field(0.02, ge=0.0)
    warmup_steps: int = Field(60, ge=0)
    average_steps: int = Field(120, ge=1)
    label_smoothing: float = Field(0.02, ge=0.0, lt=0.5)
    dropout: float = Field(0.2, ge=0.0, lt=1.0)
    hard_examples: float = Field(0.0, ge=0.0, le=1.0)
    """Share of each later epoch drawn again from the films with the largest loss."""
    change: Changes = Changes()
    early_epochs: int = Field(0, ge=0)
    early_size: int = Field(160, ge=16, multiple_of=8)
    """The first ``early_epochs`` see films of this side in pixels: quicker, and the network learns to bear scale."""


class Train(Fit):
    """The teacher (or the student, where there is no teacher). ``start``: imagenet, random, or a checkpoint file."""

    start: str = "imagenet"
    even: str | None = None
    """Traits, with commas between (``source``): each of their values, and in it each label, is drawn equally often
    (:mod:`converters.training.even_draws`), in distillation and after pruning too."""
    alignment: Literal["none", "adversarial", "coral"] = "none"
    alignment_weight: float = Field(0.0, ge=0.0)
    alignment_trait: str = "source"
    loss: str | None = None
    """One of :mod:`converters.training.losses`; else the one that belongs to what is learnt."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.even is not None and self.hard_examples:
            raise ValueError("even says how often films are drawn: hard_examples does not go with it")
        return self


class Distill(Fit):
    """The student learns from teachers: ``(1 - label_weight)`` of the loss is theirs, at this temperature."""

    start: str = "random"
    """``imagenet`` where the student's kind has published weights, ``random``, ``pack:NAME``: the network that ships
    in the pack NAME, made before with the same ``--out``; or ``pretrained:FILE``: what ``lantern-convert pretrain``
    wrote, beside the recipe."""
    temperature: float = Field(2.0, gt=0.0)
    label_weight: float = Field(0.3, ge=0.0, le=1.0)
    hint_weight: float = Field(0.5, ge=0.0)
    unlabelled_share: float = Field(0.0, ge=0.0, lt=1.0)


class Source(Table):
    """A set whose films are learnt from without labels: where it lies under ``--data``, and whose it is."""

    path: str
    licence: str
    citation: str

    @property
    def name(self) -> str:
        """The last part of its path."""
        return Path(self.path).name


class Pretraining(Table):
    """A start for a network without published weights (:mod:`converters.pretraining.pretrain`)."""

    net: str
    seed: int = 20261123
    size: int = Field(160, ge=32, le=1024)
    """Side of the films in pixels."""
    fit: Fit = Fit()
    sources: tuple[Source, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_of_their_own(self) -> Self:
        if len({one.name for one in self.sources}) < len(self.sources):
            raise ValueError("two sources have the same name")
        return self


class Prune(Fit):
    """Structured pruning to ``keep`` of the multiplications, or to ``latency_ms`` in ``runtime`` on this machine."""

    epochs: int = Field(1, ge=0)
    keep: float | None = Field(None, gt=0.0, le=1.0)
    latency_ms: float | None = Field(None, gt=0.0)
    runtime: RuntimeName = "openvino"
    steps: int = Field(4, ge=1)
    round_to: int = Field(8, ge=1)
    final_epochs: int = Field(4, ge=0)

    @model_validator(mode="after")
    def _one_target(self) -> Self:
        if (self.keep is None) == (self.latency_ms is None):
            raise ValueError("give keep or latency_ms, one of them")
        return self


class Export(Table):
    """What is written; no runtimes: all. ``static`` adds the batch-1 files for an NPU and TensorRT."""

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
    """Which films are like those that the network learnt from (:mod:`converters.packing.typicality_model`)."""

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
    """What your own script says of the films at home (:mod:`converters.evaluation.reference`): one of the two.

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


class Recipe(Table):
    """One pack. ``describe`` names the TOML with the pack's words (title, route, intended use …)."""

    pack: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    version: str
    seed: int = 20261121
    describe: str
    task: str = "classify"
    """A task of :mod:`converters.tasks`; its own table, if it has one, is called after it."""
    settings: SerializeAsAny[Table] = Table()
    """The task's own table, read by the task's own model."""
    data: Data
    input: Input = Input()
    net: Net
    reference: Reference | None = None
    train: Train | None = None
    distill: Distill | None = None
    prune: Prune | None = None
    export: Export = Export()
    quantize: Quantize = Quantize()
    typicality: Typicality = Typicality()
    cost: Cost = Cost()
    operating_point: OperatingPoint = OperatingPoint()
    abstain: Abstain = Abstain()
    gate: Gate = Gate()
    elsewhere: tuple[Elsewhere, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _of_its_task(cls, tables: Any) -> Any:
        """Give the table that is called after the task to the task's own model."""
        from converters import tasks

        if not isinstance(tables, dict) or not isinstance(key := tables.get("task", "classify"), str):
            return tables
        try:
            wanted = tasks.get(key).Settings
        except LookupError as error:
            raise ValueError(f"task: {error}") from error
        rest = {name: table for name, table in tables.items() if name not in (key, "settings")}
        return {**rest, "settings": wanted.model_validate(tables.get(key, tables.get("settings", {})))}

    @model_validator(mode="after")
    def _complete(self) -> Self:
        from converters import tasks

        if self.distill is not None and self.net.teacher is None:
            raise ValueError("[distill] needs [net] teacher")
        if self.net.teacher is not None and self.distill is None:
            raise ValueError("[net] teacher needs [distill], by which the network that ships learns from it")
        if self.net.onnx is not None and (self.train or self.distill or self.prune):
            raise ValueError("an ONNX file is not trained or pruned: leave out [train], [distill] and [prune]")
        if self.net.student is not None and self.train is None:
            raise ValueError("a student is trained: [train] is missing")
        if self.net.backbone is not None and self.train is None and self.net.weights is None:
            raise ValueError("a backbone is trained, or has weights: [train] and [net] weights are missing")
        if (self.net.build or self.net.backbone) is not None and self.prune is not None:
            raise ValueError("[prune] narrows the networks of converters.nets; narrow your own before you bring it")
        if self.net.onnx is not None and self.export.static:
            raise ValueError("[export] static is for networks that are exported; an ONNX file keeps its own batch")
        if self.typicality.other_clinics and self.input.depth is not None:
            raise ValueError("[typicality] other_clinics varies films; there are no such variations of volumes")
        if self.net.members and (self.task != "classify" or self.net.teacher or self.prune or self.quantize.qat_epochs):
            raise ValueError("a pair is trained plainly, for classify: no teacher, [distill], [prune] or qat_epochs")
        if self.net.members and self.train and self.train.start not in ("imagenet", "random"):
            raise ValueError('[train] start of a pair: "random", or "imagenet", of members that have such weights')
        drawn_evenly = self.train is not None and self.train.even is not None
        if drawn_evenly and self.distill and (self.distill.unlabelled_share or self.distill.hard_examples):
            raise ValueError("[train] even: films without labels and hard_examples do not go with it")
        if any(one.weight != 1.0 for one in self.data.beside) and not (drawn_evenly and _names(self.train, "source")):
            raise ValueError('[[data.beside]] weight needs [train] even = "source"')
        if len({one.name for one in self.elsewhere}) < len(self.elsewhere):
            raise ValueError("two sets of [[elsewhere]] have the same name: give a title")
        if any(one.reader is not None and one.part is not None for one in self.elsewhere):
            raise ValueError("[[elsewhere]] has a part or a reader: a part is one that a recognised form has")
        _check_input(self)
        task = tasks.get(self.task)
        task.check(self)
        _check_own_heads(self, one_finding=self.task == "classify" and not task.of(self).reads_labels)
        if self.abstain.error is not None and task.of(self).reads_labels:
            raise ValueError("[abstain] error is for one finding that a film shows or not")
        if self.operating_point.standardise and (self.task != "classify" or task.of(self).reads_labels):
            raise ValueError('[operating_point] standardise is for task = "classify" with one finding')
        if task.of(self).reads_labels != (self.data.positive is None):
            raise ValueError("[data] positive names the class of a film that shows the one finding, and only that")
        return self


def _names(plan: Train | None, trait: str) -> bool:
    return plan is not None and plan.even is not None and trait in plan.even.split(",")


def _check_own_heads(recipe: Recipe, *, one_finding: bool) -> None:
    """Raise :class:`ValueError` where a set's own head could not be learnt, or not be taken off the network."""
    if not recipe.data.own_heads:
        return
    by_default_loss = recipe.train is not None and recipe.train.loss is None
    if not one_finding or not by_default_loss or recipe.input.depth is not None:
        raise ValueError(
            '[[data.beside]] own_head is for task = "classify" with one finding of films, trained by the default loss'
        )
    if recipe.net.is_foreign or recipe.net.members:
        raise ValueError("[[data.beside]] own_head needs one network of converters.nets, which can lose the head again")


def _check_input(recipe: Recipe) -> None:
    """Raise :class:`ValueError` where the network cannot be shown what [input] says, or has no reference."""
    coloured, learns = recipe.input.colour != "grey", recipe.train
    if not recipe.net.is_foreign and (coloured or recipe.input.range != (0.0, 1.0)):
        raise ValueError("[input] colour and range are for a network of your own; ours read greys from 0 to 1")
    if coloured and recipe.net.colours != 3:
        raise ValueError('[input] colour = "rgb" and "bgr" are for a network of three: [net] colours = 3')
    if coloured and (recipe.net.teacher or recipe.typicality.other_clinics or (learns and learns.change.paste)):
        raise ValueError("[net] teacher, [typicality] other_clinics and change.paste are for grey films")
    if recipe.reference is not None and (not recipe.net.is_foreign or learns or recipe.distill):
        raise ValueError("[reference] is for a network of your own that comes trained: leave out [train] and [distill]")


def load_recipe(path: Path) -> Recipe:
    """Read a recipe. Raises :class:`RecipeInvalid` with the key that is wrong."""
    return _loaded(path, Recipe)


def load_pretraining(path: Path) -> Pretraining:
    """Read the settings of a pre-training. Raises :class:`RecipeInvalid` with the key that is wrong."""
    return _loaded(path, Pretraining)


def _loaded(path: Path, kind: type[OneTable]) -> OneTable:
    try:
        return kind.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise RecipeInvalid(str(path), error.strerror or str(error)) from error
    except tomllib.TOMLDecodeError as error:
        raise RecipeInvalid(str(path), f"it is no TOML: {error}") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise RecipeInvalid(str(path), f"{where}: {first['msg']}") from error
