"""The tables of a recipe about learning: [train], [distill], [prune], and the settings of a pre-training."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from converters.recipe_tables.table import RuntimeName, Table


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
        if len({source.name for source in self.sources}) < len(self.sources):
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
