"""The steps of a recipe that train, each resumable: train, distill, prune; :mod:`converters.verdicts` has the rest.

A :class:`Workshop` is one recipe with its data and its work folder.  Every step reads what the steps before it left
there and writes its own account last (:mod:`converters.ledger`), so a stopped run goes on and a changed recipe repeats
only what depends on the change.
"""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from converters import checkpoint, datasets, distill, fitting, outlines, prune, segment, statistics, targets, train
from converters.alignment import Alignment
from converters.checkpoint import Checkpoint
from converters.films import prepared
from converters.ledger import Ledger, digest_of
from converters.material import Material, input_spec, labels_of, open_material
from converters.nets import CamNet, foreign, multiplications
from converters.paste import outlined
from converters.recipe import Distill, Fit, Recipe, Train
from converters.splits import Fold
from firmware_app.imaging.model_input import InputSpec
from firmware_app.runtimes import choice


@dataclass(frozen=True)
class Workshop:
    """A recipe at work: ``data`` as the engineer gave it, ``work`` where steps leave what they made."""

    recipe: Recipe
    near: Path
    data: Path
    work: Path
    feedback: tuple[datasets.FilmSet, ...] = ()
    """Films that came back from clinics, opened; see :mod:`converters.feedback`."""

    @cached_property
    def ledger(self) -> Ledger:
        """What has been done here."""
        return Ledger(self.work)

    @cached_property
    def material(self) -> Material:
        """The films, opened and divided once."""
        return open_material(self.recipe, self.data, self.feedback)

    @cached_property
    def spec(self) -> InputSpec:
        """The model's input."""
        return input_spec(self.recipe)

    @cached_property
    def pixels(self) -> dict[str, NDArray[np.uint8]]:
        """Every film outside the test part, ready for training, by name; read once, which takes its time."""
        names = self.material.division.part("train") + self.material.division.part("val")
        films = self.material.films.only(tuple(dict.fromkeys(names)))
        return dict(zip((film.name for film in films.films), prepared(films, self.spec), strict=True))

    @cached_property
    def digest(self) -> str:
        """One word for the films, their labels and how they are divided."""
        told = [(film.name, film.label) for film in self.material.films.films]
        own = foreign.word(self.recipe, self.near)
        parts = (told, self.material.division, own) if own else (told, self.material.division)
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    @property
    def trained_folds(self) -> tuple[Fold, ...]:
        """Every model that is made: one per fold, and the one that ships where that is another."""
        division = self.material.division
        return tuple({fold.name: fold for fold in (*division.folds, division.shipped)}.values())

    @property
    def learnt(self) -> tuple[str, ...]:
        """The steps of this recipe that change the network."""
        told = {"train": self.recipe.train, "distill": self.recipe.distill, "prune": self.recipe.prune}
        return tuple(name for name, table in told.items() if table is not None)

    def films(self, names: Sequence[str]) -> datasets.FilmSet:
        """The films with these names."""
        return self.material.films.only(names)

    def array(self, films: datasets.FilmSet) -> NDArray[np.uint8]:
        """(N, H, W) uint8 in the order of the set."""
        return np.stack([self.pixels[film.name] for film in films.films])

    def seen(self, fold: Fold, more: NDArray[np.uint8] | None = None, plan: Fit | None = None) -> fitting.Films:
        """The films of a fold for a fit of ``plan``; ``more`` are unlabelled ones behind them."""
        judged, learnt = self.films(fold.held), self.films(fold.train)
        seen = self.array(learnt)
        seen = seen if more is None or not len(more) else np.concatenate([seen, more])
        lesions = None
        if plan is not None and plan.change.paste:
            lesions = outlined(learnt, (self.spec.height, self.spec.width), len(seen))
        return fitting.Films(seen, self.array(judged), labels_of(judged), lesions)

    def path(self, stage: str, fold: Fold) -> Path:
        """Where the network of a stage and fold is kept."""
        return self.work / f"{stage}.{fold.name}.pt"

    def run(self, stage: str, fold: Fold, plan: Fit, *made_from: object) -> fitting.Run:
        """How a fit is kept; it goes on only where everything it is made from is the same."""
        word = fitting.identity(plan, self.recipe.net, self.recipe.seed, self.digest, *made_from)
        return fitting.Run(self.path(stage, fold), f"{self.recipe.pack} {stage} {fold.name}", word, self.recipe.seed)


def train_step(shop: Workshop) -> dict[str, Any]:
    """A teacher per fold; where there is none, the pack's own network per fold and the one that ships."""
    recipe, plan = shop.recipe, shop.recipe.train
    if plan is None:
        return {}
    has_teacher = recipe.net.teacher is not None
    folds = shop.material.division.folds if has_teacher else shop.trained_folds
    stage = "teacher" if has_teacher else "student"
    mark = shop.ledger.fingerprint(tables(recipe, "train", "net", "cost", "input"), (), shop.digest)
    if (known := shop.ledger.results("train", mark)) is not None:
        return known
    found: dict[str, Any] = {}
    for fold in folds:
        found[fold.name] = _account(trained(shop, fold, stage), shop, fold)
    shop.ledger.done("train", mark, found, [shop.path(stage, fold) for fold in folds])
    return found


def trained(shop: Workshop, fold: Fold, stage: str, *made_from: object) -> CamNet:
    """The network of ``[train]``, fitted to the films of a fold and kept as that of ``stage``."""
    recipe, plan, films = shop.recipe, shop.recipe.train, shop.films(fold.train)
    name = recipe.net.teacher or recipe.net.student
    assert plan is not None
    aim = targets.targets(films, plan.published_weight, plan.balance)
    aim = _costly(aim, labels_of(films), recipe)
    channels = 1 + (aim.auxiliary.shape[1] if plan.auxiliary_weight > 0.0 else 0)
    net = own(shop) if name is None else train.beginning(recipe, name, channels, shop.near)
    objective: fitting.Objective
    if recipe.task == "segment":
        masks = outlines.truths(films, shop.spec.shape).astype(np.uint8)
        objective = segment.Outlined(masks, recipe.cost.miss, plan.change)
    else:
        objective = train.Labels(aim, plan, _alignment(plan, films, net, shop.spec))
    run = shop.run(stage, fold, plan, channels, *made_from)
    return fitting.fit(net, shop.seen(fold, plan=plan), objective, plan, run)


def distill_step(shop: Workshop) -> dict[str, Any]:
    """A student per fold from that fold's teacher, and the one that ships from all of them."""
    recipe, plan = shop.recipe, shop.recipe.distill
    if plan is None:
        return {}
    assert recipe.train is not None
    mark = shop.ledger.fingerprint(tables(recipe, "distill"), ("train",), shop.digest)
    if (known := shop.ledger.results("distill", mark)) is not None:
        return known
    found: dict[str, Any] = {}
    extra = unlabelled(shop)
    for fold in shop.trained_folds:
        student, objective = _taught(shop, fold, len(extra))
        run = shop.run("student", fold, plan, [_word(path) for path in _teachers(shop, fold)])
        fitted = fitting.fit(student, shop.seen(fold, extra, plan), objective, plan, run)
        found[fold.name] = _account(fitted, shop, fold)
    shop.ledger.done("distill", mark, found, [shop.path("student", fold) for fold in shop.trained_folds])
    return found


def prune_step(shop: Workshop) -> dict[str, Any]:
    """Every student narrowed to the same plan, step by step, each step followed by fine-tuning."""
    recipe, plan = shop.recipe, shop.recipe.prune
    if plan is None:
        return {}
    mark = shop.ledger.fingerprint(tables(recipe, "prune"), shop.learnt[:-1], shop.digest)
    if (known := shop.ledger.results("prune", mark)) is not None:
        return known
    found: dict[str, Any] = {}
    extra = unlabelled(shop)
    for fold in shop.trained_folds:
        student = train.restored(shop.path("student", fold))

        def recover(net: CamNet, step: int, fold: Fold = fold) -> CamNet:
            last = step == plan.steps - 1
            epochs = plan.final_epochs if last else plan.epochs
            if not epochs:
                return net
            own = plan.model_copy(update={"epochs": epochs})
            _, objective = _taught(shop, fold, len(extra), student=net)
            run = shop.run(f"pruned{step}", fold, own, net.plan, _word(shop.path("student", fold)))
            return fitting.fit(net, shop.seen(fold, extra, own), objective, own, run)

        made = prune.prune(student, plan, shop_example(shop), recover, lambda net: latency_ms(shop, net, plan.runtime))
        checkpoint.save(shop.path("pruned", fold), Checkpoint(made.net.name, made.net.plan, made.net.state_dict(), {}))
        found[fold.name] = {**_account(made.net, shop, fold), **made.as_dict()}
    shop.ledger.done("prune", mark, found, [shop.path("pruned", fold) for fold in shop.trained_folds])
    return found


def final(shop: Workshop, fold: Fold) -> CamNet:
    """The network of a fold after the last of the steps that change it."""
    if not shop.recipe.net.is_foreign:
        return train.restored(shop.path("pruned" if shop.recipe.prune else "student", fold))
    net = own(shop)
    if shop.learnt:  # it is made by the recipe's function, never by a name that a checkpoint holds
        path = shop.path("student", fold)
        checkpoint.fill(net, checkpoint.load(path).state, path)
    return net.eval()


def own(shop: Workshop) -> CamNet:
    """The network that the user brought, as it came."""
    return foreign.brought_in(shop.recipe, shop.near, shop.spec, shop.work)


def word_of_final(shop: Workshop, fold: Fold) -> str:
    """One word for the weights of :func:`final`."""
    return _word(shop.path("pruned" if shop.recipe.prune else "student", fold))


# --- what the steps share -----------------------------------------------------------------------------------------


def unlabelled(shop: Workshop) -> NDArray[np.uint8]:
    """The films of ``[data] unlabelled``, (M, H, W) uint8; none when the recipe names none or gives them no share."""
    plan, side = shop.recipe.distill, (shop.spec.height, shop.spec.width)
    if plan is None or not plan.unlabelled_share or not shop.recipe.data.unlabelled:
        return np.empty((0, *side), dtype=np.uint8)
    beside = shop.data.resolve().parent
    sets = [datasets.any_films(beside / name) for name in shop.recipe.data.unlabelled]
    every = np.concatenate([prepared(one, shop.spec) for one in sets])
    share = plan.unlabelled_share
    most = int(share / (1.0 - share) * len(shop.material.division.shipped.train))
    return every[np.random.default_rng(shop.recipe.seed).permutation(len(every))[:most]]


def shop_example(shop: Workshop) -> torch.Tensor:
    """Two noise films of the model's size, always the same."""
    size = (2, shop.spec.channels, *shop.spec.shape)
    return torch.rand(size, generator=torch.Generator().manual_seed(0))


def _taught(shop: Workshop, fold: Fold, extra: int, student: CamNet | None = None) -> tuple[CamNet, fitting.Objective]:
    """A student and what it learns: from its fold's teachers, or, where there are none, from itself before pruning."""
    recipe = shop.recipe
    assert recipe.train is not None
    films = shop.films(fold.train)
    aim = _costly(targets.targets(films, recipe.train.published_weight, recipe.train.balance), labels_of(films), recipe)
    aim = targets.extended(aim, extra)
    plan = recipe.distill or Distill(hint_weight=0.0)
    if student is None:
        brought = recipe.net.is_foreign
        student = own(shop) if brought else train.beginning_of_student(recipe, plan, shop.work.parent)
    teachers = [train.restored(path) for path in _teachers(shop, fold)]
    labelled = np.arange(len(aim.main)) < len(films.films)
    return student, distill.taught(student, teachers, aim, labelled, plan, recipe.train, shop_example(shop))


def teacher(shop: Workshop, fold: Fold) -> CamNet:
    """The teacher of a fold."""
    return train.restored(shop.path("teacher", fold))


def latency_ms(shop: Workshop, net: CamNet, runtime: str) -> float:
    """Median milliseconds of one film in ``runtime``'s float file of ``net``, two threads, on this machine."""
    from converters import artefacts

    source = ("litert", "fp32") if runtime == "litert" else artefacts.SOURCE
    with TemporaryDirectory() as folder:
        artefacts.export(net, shop.spec, Path(folder), (source,))
        module = choice.get(runtime)
        session = module.load(Path(folder) / artefacts.NAMES[source], module.Config(threads=2))
    film = {shop.spec.name: artefacts.noise(shop.spec, 1).numpy()}
    times = []
    for _ in range(20):
        begun = time.perf_counter()
        session.infer(film)
        times.append(1e3 * (time.perf_counter() - begun))
    return float(np.median(times[3:]))


def _teachers(shop: Workshop, fold: Fold) -> list[Path]:
    """The teachers of a fold's student: none of them has seen the films that judge it."""
    if shop.recipe.net.teacher is None:
        return [shop.path("student", fold)]
    known = {one.name for one in shop.material.division.folds}
    if fold.name in known:
        return [shop.path("teacher", fold)]
    return [shop.path("teacher", one) for one in shop.material.division.folds]


def _costly(aim: targets.Targets, labels: NDArray[np.int64], recipe: Recipe) -> targets.Targets:
    """Targets whose weights also carry what each mistake costs at the clinic's prevalence."""
    weights = train.cost_weights(labels, aim.weights, recipe.cost.miss, recipe.cost.prevalence)
    return replace(aim, weights=weights)


def _alignment(plan: Train, films: datasets.FilmSet, net: CamNet, spec: InputSpec) -> Alignment | None:
    if plan.alignment == "none":
        return None
    sources = [dict(film.traits).get(plan.alignment_trait, "") for film in films.films]
    with torch.no_grad():
        width = net.copy().eval()(torch.zeros(1, spec.channels, spec.height, spec.width))[1].shape[1]
    return Alignment(plan.alignment, sources, width)


def _account(net: CamNet, shop: Workshop, fold: Fold) -> dict[str, Any]:
    """What is noted of a trained network: size, work, and its AUC on the films held back from it."""
    held = shop.films(fold.held)
    judged = not set(fold.held) & set(fold.train)
    area = statistics.auc(labels_of(held), fitting.predicted(net, shop.array(held))) if judged else None
    return {
        "parameters": net.parameters_count, "multiplications": multiplications(net, shop_example(shop)),
        "auc": None if area is None else round(area, 4), "films": len(fold.train), "held": len(fold.held),
    }  # fmt: skip


def tables(recipe: Recipe, *names: str) -> dict[str, Any]:
    """The recipe's tables that a step depends on, as JSON, what stands at its default left out."""
    told = recipe.model_dump(mode="json", exclude_defaults=True)
    return {name: told.get(name) for name in (*names, "seed")}


def _word(path: Path) -> str:
    return digest_of(path)
