"""A recipe: everything that turns a folder of films into one pack, as one TOML file.

Unknown keys are refused. ``seed`` fixes the splits, the augmentation and the order of films.
"""

import tomllib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from converters.failures import RecipeInvalid


class Table(BaseModel):
    """One table of a recipe."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Data(Table):
    """Which reader opens ``--data``, the word for the positive class, and how films are divided."""

    reader: Literal["folder", "nih-adults", "medmnist"]
    positive: str
    val: float = Field(0.15, gt=0.0, lt=0.5)
    test: float = Field(0.15, gt=0.0, lt=0.5)


class Input(Table):
    """The model input; see :class:`firmware_app.imaging.model_input.InputSpec`."""

    name: str = "film"
    size: int = Field(224, ge=32, le=1024)
    low_percentile: float = 0.5
    high_percentile: float = 99.5


class Train(Table):
    """How the network is fitted. ``start``: ``imagenet``, ``random``, or the name of a pack trained before."""

    start: str = "imagenet"
    epochs: int = Field(6, ge=1)
    batch: int = Field(48, ge=2)
    learning_rate: float = Field(1e-3, gt=0.0)
    weight_decay: float = Field(0.02, ge=0.0)
    warmup_steps: int = Field(60, ge=0)
    average_steps: int = Field(120, ge=1)
    label_smoothing: float = Field(0.02, ge=0.0, lt=0.5)
    teacher_weight: float = Field(0.0, ge=0.0, le=1.0)
    auxiliary_weight: float = Field(0.0, ge=0.0)
    balance: str | None = None
    dropout: float = Field(0.2, ge=0.0, lt=1.0)
    rotation: float = 10.0
    zoom_in: float = 0.30
    gamma: float = 0.35
    flip: float = 0.0


class OperatingPoint(Table):
    """The threshold is chosen on validation films: ``sensitivity`` (the highest threshold that reaches ``at_least``)
    or ``cost`` (least expected cost when a missed positive costs ``miss_cost`` false alarms)."""

    rule: Literal["sensitivity", "cost"]
    at_least: float = Field(0.95, gt=0.0, le=1.0)
    miss_cost: float = Field(5.0, gt=0.0)


class Gate(Table):
    """What a pack must reach on validation films before it is made."""

    int8_auc_loss: float = Field(0.005, ge=0.0)
    val_auc_at_least: float = Field(0.5, ge=0.0, le=1.0)


class Recipe(Table):
    """One pack. ``describe`` names the TOML with the pack's words (title, route, intended use …)."""

    pack: str
    version: str
    seed: int = 20261121
    describe: str
    data: Data
    input: Input = Input()
    train: Train = Train()
    operating_point: OperatingPoint
    gate: Gate = Gate()


def load_recipe(path: Path) -> Recipe:
    """Read a recipe. Raises :class:`RecipeInvalid` with the key that is wrong."""
    try:
        return Recipe.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, tomllib.TOMLDecodeError, ValidationError) as error:
        raise RecipeInvalid(str(path), str(error)) from error
