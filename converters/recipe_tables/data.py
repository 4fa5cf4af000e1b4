"""The tables of a recipe about films and network: [data], [[data.beside]], [[elsewhere]], [input], [net]."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from converters.recipe_tables.table import Table
from firmware_app.imaging.input_spec import Crop, Greys, Resize

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


def _check_words(positive: ClassWords | None, negative: ClassWords | None) -> None:
    if negative is not None and positive is None:
        raise ValueError("negative goes with positive: name the words of both classes")


class Data(Table):
    """The reader of ``--data``, the word for the positive class, and how films are split.

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
        return tuple(beside.name for beside in self.beside if beside.own_head)

    @model_validator(mode="after")
    def _names_of_their_own(self) -> Self:
        if len({beside.name for beside in self.beside}) < len(self.beside):
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
