"""A run of a recipe: its films, its work folder, where its fits are kept, and what they start from."""

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters import tasks
from converters.data import datasets, film_digests, splits, unlabelled
from converters.data.preprocessing import prepare, round_to_bytes
from converters.data.recipe_data import RecipeData, input_spec, labels_of, open_recipe_data
from converters.data.splits import Fold
from converters.nets import CamNet, foreign
from converters.recipe import Recipe
from converters.recipe_tables import Fit
from converters.tasks.interface import Task
from converters.training import checkpoint, even_draws, fitting, train
from converters.training.copy_paste import outline
from converters.workflow.ledger import Ledger, digest_of, tools
from firmware_app.imaging.model_input import InputSpec

SHOWN = 16
"""Films whose model inputs are compared, to notice another decoder or another preparation; a volume takes a second."""


@dataclass(frozen=True)
class RecipeRun:
    """A run of a recipe: ``data`` as the engineer gave it, ``work`` where steps leave what they made."""

    recipe: Recipe
    near: Path
    data: Path
    work: Path
    feedback: tuple[datasets.FilmSet, ...] = ()
    """Films that came back from clinics, opened; see :mod:`converters.data.feedback`."""

    file: str = ""
    """What the recipe's file is called in ``near``, where that is not the pack's name."""

    @cached_property
    def task(self) -> Task:
        """What the recipe's network is for."""
        return tasks.get(self.recipe.task).configure(self.recipe)

    @cached_property
    def ledger(self) -> Ledger:
        """What has been done here."""
        return Ledger(self.work)

    @cached_property
    def dataset(self) -> RecipeData:
        """The films, opened and divided once."""
        return open_recipe_data(self.recipe, self.data, self.feedback, splits.lists_of(self.near))

    @cached_property
    def extra(self) -> unlabelled.Unlabelled:
        """The films that only a teacher labels."""
        return unlabelled.open_unlabelled(self.recipe, self.data, self.dataset, self.spec)

    @cached_property
    def spec(self) -> InputSpec:
        """The model's input."""
        return input_spec(self.recipe)

    @cached_property
    def pixels(self) -> dict[str, NDArray[np.uint8]]:
        """Every film outside the test part, ready for training, by name; read once, which takes its time."""
        names = self.dataset.division.part("train") + self.dataset.division.part("val")
        films = self.dataset.films.only(tuple(dict.fromkeys(names)))
        return dict(zip((film.name for film in films.films), prepare(films, self.spec), strict=True))

    @cached_property
    def digest(self) -> str:
        """One word for the films, their pictures and labels, how they are divided and what the box makes of them."""
        parts = (self.division_digest, film_digests.digest(self.dataset.films.films), self.input_digest)
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    @cached_property
    def input_digest(self) -> str:
        """One word for the model inputs that the box's code makes of :data:`SHOWN` films outside the test part."""
        names = sorted({*self.dataset.division.part("train"), *self.dataset.division.part("val")})
        places = np.linspace(0, len(names) - 1, min(SHOWN, len(names))).astype(int)
        films = {film.name: film for film in self.dataset.films.films}
        every = b"".join(round_to_bytes(films[names[place]].tensor(self.spec)).tobytes() for place in places)
        return hashlib.sha256(every).hexdigest()

    @cached_property
    def division_digest(self) -> str:
        """One word for the films' names and labels, how they are divided, and how the sets beside them count."""
        labels = [(film.name, film.label) for film in self.dataset.films.films]
        own = foreign.digest_foreign(self.recipe, self.near)
        draws = [(beside.name, beside.weight, beside.own_head) for beside in self.recipe.data.beside]
        parts = (labels, self.dataset.division, *filter(None, (own, draws)))
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    @property
    def trained_folds(self) -> tuple[Fold, ...]:
        """Every model that is made: one per fold, and the one that ships where that is another."""
        division = self.dataset.division
        return tuple({fold.name: fold for fold in (*division.folds, division.shipped)}.values())

    @property
    def training_steps(self) -> tuple[str, ...]:
        """The steps of this recipe that change the network."""
        fits = {"train": self.recipe.train, "distill": self.recipe.distill, "prune": self.recipe.prune}
        return tuple(name for name, table in fits.items() if table is not None)

    @property
    def trained_learn_from(self) -> tuple[str, ...]:
        """The films that any of the models learns from."""
        return tuple(sorted({name for fold in self.trained_folds for name in fold.train}))

    def films(self, names: Sequence[str]) -> datasets.FilmSet:
        """The films with these names."""
        return self.dataset.films.only(names)

    def array(self, films: datasets.FilmSet) -> NDArray[np.uint8]:
        """(N, H, W) uint8 in the order of the set."""
        return np.stack([self.pixels[film.name] for film in films.films])

    def collect_films(
        self, fold: Fold, more: NDArray[np.uint8] | None = None, plan: Fit | None = None
    ) -> fitting.Films:
        """The films of a fold for a fit of ``plan``; ``more`` are unlabelled ones behind them."""
        judged, learnt = self.films(fold.held), self.films(fold.train)
        seen = self.array(learnt)
        seen = seen if more is None or not len(more) else np.concatenate([seen, more])
        lesions = None
        if plan is not None and plan.change.paste:
            lesions = outline(learnt, self.spec, len(seen))
        even = even_draws.plan_shares(learnt, self.recipe)
        return fitting.Films(
            seen=seen,
            judged=self.array(judged),
            labels=labels_of(judged),
            lesions=lesions,
            scores=self.scores,
            even=even,
        )

    def scores(self, net: CamNet, films: NDArray[np.uint8]) -> NDArray[np.float64]:
        """(N,) scores of the first finding, as the task makes them of the network's outputs."""
        if self.task.outlines:  # the same, without keeping a cell for every voxel
            return fitting.predict(net, films)
        outputs = fitting.outputs(net, films, self.task.outputs)
        return np.asarray(self.task.scores(self.task.answers(outputs, net.biases)), dtype=np.float64)

    def path(self, stage: str, fold: Fold) -> Path:
        """The path of the network of a stage and fold."""
        return self.work / f"{stage}.{fold.name}.pt"

    def fit_run(
        self, stage: str, fold: Fold, plan: Fit, *made_from: object, begun: Mapping[str, str] | None = None
    ) -> fitting.Run:
        """How a fit is kept; it goes on only where everything it is made from, and ``begun`` from, is the same."""
        seed, name = self.recipe.seed, f"{self.recipe.pack} {stage} {fold.name}"
        word = fitting.identity(plan, self.recipe.net, seed, self.division_digest, *made_from)
        plans = [fit.model_dump(mode="json") for fit in (plan, self.recipe.net)]  # with every default
        step = "prune" if stage.startswith("pruned") else "train"
        made_of = [*plans, tables(self.recipe, "input", "cost"), self.digest, begun or {}, tools(step)]
        content = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()
        return fitting.Run(self.path(stage, fold), name, word, seed, content)


def digest_starts(run: RecipeRun, step: str) -> dict[str, str]:
    """One word for each thing outside the recipe that a step's fits begin from: a checkpoint, unlabelled films."""
    recipe, digests = run.recipe, dict[str, str]()
    if step == "train" and recipe.train is not None and recipe.train.start not in ("imagenet", "random"):
        digests["start"] = _digest_if_present(run.near / recipe.train.start)
    if step == "distill" and recipe.distill is not None:
        path = train.find_student_start(recipe.distill, run.work.parent, run.near)
        if path is not None:
            digests["start"] = _digest_if_present(path)
        if run.extra.words:
            digests["unlabelled"] = hashlib.sha256(repr(run.extra.words).encode()).hexdigest()
    return digests


def write_names(run: RecipeRun) -> None:
    """Note which films are learnt from; raises :class:`~converters.failures.SplitLeaks` when a pack that the student
    begins from has learnt from one that judges here."""
    films, division = run.dataset.films.films, run.dataset.division
    words = {film.name: film_digests.digest_film(film) for film in films}
    learns = {name: words[name] for name in run.trained_learn_from} | run.extra.words
    plan = run.recipe.distill
    path = None if plan is None else train.find_student_start(plan, run.work.parent, run.near)
    if plan is not None and path is not None and path.is_file() and plan.start.startswith(train.PRETRAINED):
        # It saw these films without their labels: films of a fold may be among them, films of the test part not.
        unlabelled_films = dict(checkpoint.load(path).facts.get("films", {}))
        film_digests.refuse_known(unlabelled_films, {name: words[name] for name in division.test})
        learns |= unlabelled_films
    elif path is not None and path.is_file():
        known = film_digests.read_digests(path.parent)
        if known is None:
            line = f"{run.recipe.pack}: {path.parent.name} does not say which films it learnt from; some may judge here"
            print(line, file=sys.stderr, flush=True)
        judging = {*division.test, *division.part("val")}
        film_digests.refuse_known(known or {}, {name: words[name] for name in sorted(judging)})
        learns |= known or {}
    film_digests.record_digests(run.work, learns)


def tables(recipe: Recipe, *names: str) -> dict[str, Any]:
    """The recipe's tables that a step depends on, as JSON, with every default: another one is another recipe."""
    every = recipe.model_dump(mode="json")
    own = {"settings": every["settings"]} if every.get("settings") else {}  # the task's table changes every step
    return {name: every.get(name) for name in (*names, "seed")} | own


def _digest_if_present(path: Path) -> str:
    return digest_of(path) if path.is_file() else ""
