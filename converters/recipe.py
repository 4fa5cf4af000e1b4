"""A recipe: everything that turns a folder of films into one pack, as one TOML file.

Unknown keys are refused. ``seed`` fixes the splits, the augmentation and the order of films. Each table belongs to one
step; a step is done again when its table, or one before it, has changed (:mod:`converters.workflow.ledger`).
"""

import tomllib
from pathlib import Path
from typing import Any, Self, TypeVar

from pydantic import Field, SerializeAsAny, ValidationError, model_validator

from converters import tasks
from converters.failures import RecipeInvalid
from converters.recipe_tables import (
    Abstain,
    Cost,
    Data,
    Distill,
    Elsewhere,
    Export,
    Gate,
    Input,
    Net,
    OperatingPoint,
    Pretraining,
    Prune,
    Quantize,
    Reference,
    Table,
    Train,
    Typicality,
)

OneTable = TypeVar("OneTable", bound=Table)


class Recipe(Table):
    """The recipe of one pack. ``describe`` names the TOML with the pack's texts (title, route, intended use …)."""

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
    def _parse_task_settings(cls, tables: Any) -> Any:
        """Give the table that is called after the task to the task's own model."""
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
        if any(beside.weight != 1.0 for beside in self.data.beside) and not (
            drawn_evenly and _names(self.train, "source")
        ):
            raise ValueError('[[data.beside]] weight needs [train] even = "source"')
        if len({elsewhere.name for elsewhere in self.elsewhere}) < len(self.elsewhere):
            raise ValueError("two sets of [[elsewhere]] have the same name: give a title")
        if any(elsewhere.reader is not None and elsewhere.part is not None for elsewhere in self.elsewhere):
            raise ValueError("[[elsewhere]] has a part or a reader: a part is one that a recognised form has")
        _check_input(self)
        task = tasks.get(self.task)
        task.check(self)
        _check_own_heads(self, one_finding=self.task == "classify" and not task.configure(self).reads_labels)
        if self.abstain.error is not None and task.configure(self).reads_labels:
            raise ValueError("[abstain] error is for one finding that a film shows or not")
        if self.operating_point.standardise and (self.task != "classify" or task.configure(self).reads_labels):
            raise ValueError('[operating_point] standardise is for task = "classify" with one finding')
        if task.configure(self).reads_labels != (self.data.positive is None):
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
    return _load(path, Recipe)


def load_pretraining(path: Path) -> Pretraining:
    """Read the settings of a pre-training. Raises :class:`RecipeInvalid` with the key that is wrong."""
    return _load(path, Pretraining)


def _load(path: Path, kind: type[OneTable]) -> OneTable:
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
