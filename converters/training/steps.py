"""The steps of a recipe that train, each resumable: train, distill, prune; the rest have modules of their own.

Every step reads what the steps before it left in the work folder and records its results last
(:mod:`converters.workflow.ledger`). So a stopped run goes on, and a changed recipe repeats only what depends on the
change.
"""

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from converters.data.recipe_data import labels_of
from converters.data.splits import Fold
from converters.nets import CamNet, foreign, multiplications
from converters.recipe import Distill
from converters.statistics import intervals
from converters.training import checkpoint, distill, fitting, prune, targets, train
from converters.training.checkpoint import Checkpoint
from converters.workflow.ledger import digest_of
from converters.workflow.recipe_run import Workshop as Workshop
from converters.workflow.recipe_run import begun, noted
from converters.workflow.recipe_run import tables as tables
from firmware_app.runtimes import choice


def train_step(shop: Workshop) -> dict[str, Any]:
    """A teacher per fold; where there is none, the pack's own network per fold and the one that ships."""
    recipe, plan = shop.recipe, shop.recipe.train
    if plan is None:
        return {}
    has_teacher = recipe.net.teacher is not None
    folds = shop.material.division.folds if has_teacher else shop.trained_folds
    stage = "teacher" if has_teacher else "student"
    made_of = {**tables(recipe, "train", "net", "cost", "input"), **begun(shop, "train")}
    mark = shop.ledger.fingerprint(made_of, (), shop.digest)
    noted(shop)
    if (known := shop.ledger.results("train", mark)) is not None:
        return known
    accounts: dict[str, Any] = {}
    for fold in folds:
        accounts[fold.name] = _account(trained(shop, fold, stage), shop, fold)
    shop.ledger.done("train", mark, accounts, [shop.path(stage, fold) for fold in folds])
    return accounts


def trained(shop: Workshop, fold: Fold, stage: str, *made_from: object) -> CamNet:
    """The network of ``[train]``, fitted to the films of a fold and kept as that of ``stage``."""
    recipe, plan, films = shop.recipe, shop.recipe.train, shop.films(fold.train)
    name = recipe.net.teacher or recipe.net.student
    assert plan is not None
    aim = shop.task.targets(shop, films)
    channels = shop.task.channels(recipe, aim)
    net = own(shop) if name is None else train.beginning(recipe, name, channels, shop.near)
    net.outlines = shop.task.outlines
    objective = shop.task.objective(shop, films, aim, net)
    run = shop.run(stage, fold, plan, channels, *made_from, begun=begun(shop, "train"))
    return fitting.fit(net, shop.seen(fold, plan=plan), objective, plan, run)


def distill_step(shop: Workshop) -> dict[str, Any]:
    """A student per fold from that fold's teacher, and the one that ships from all of them."""
    recipe, plan = shop.recipe, shop.recipe.distill
    if plan is None:
        return {}
    assert recipe.train is not None
    first = begun(shop, "distill")
    mark = shop.ledger.fingerprint({**tables(recipe, "distill"), **first}, ("train",), shop.digest)
    noted(shop)
    if (known := shop.ledger.results("distill", mark)) is not None:
        return known
    accounts: dict[str, Any] = {}
    for fold in shop.trained_folds:
        extra = shop.extra.of(fold)
        student, objective = _taught(shop, fold, len(extra))
        run = shop.run("student", fold, plan, [_word(path) for path in _teachers(shop, fold)], begun=first)
        fitted = fitting.fit(student, shop.seen(fold, extra, plan), objective, plan, run)
        accounts[fold.name] = _account(fitted, shop, fold)
    shop.ledger.done("distill", mark, accounts, [shop.path("student", fold) for fold in shop.trained_folds])
    return accounts


def prune_step(shop: Workshop) -> dict[str, Any]:
    """Every student narrowed to the same plan, step by step, each step followed by fine-tuning."""
    recipe, plan = shop.recipe, shop.recipe.prune
    if plan is None:
        return {}
    first = begun(shop, "distill")
    mark = shop.ledger.fingerprint({**tables(recipe, "prune"), **first}, shop.learnt[:-1], shop.digest)
    if (known := shop.ledger.results("prune", mark)) is not None:
        return known
    accounts: dict[str, Any] = {}
    for fold in shop.trained_folds:
        student, extra = train.restored(shop.path("student", fold)), shop.extra.of(fold)

        def recover(net: CamNet, step: int, fold: Fold = fold, extra: NDArray[np.uint8] = extra) -> CamNet:
            last = step == plan.steps - 1
            epochs = plan.final_epochs if last else plan.epochs
            if not epochs:
                return net
            own = plan.model_copy(update={"epochs": epochs})
            _, objective = _taught(shop, fold, len(extra), student=net)
            run = shop.run(f"pruned{step}", fold, own, net.plan, _word(shop.path("student", fold)), begun=first)
            return fitting.fit(net, shop.seen(fold, extra, own), objective, own, run)

        made = prune.prune(student, plan, shop_example(shop), recover, lambda net: latency_ms(shop, net, plan.runtime))
        checkpoint.save(shop.path("pruned", fold), Checkpoint(made.net.name, made.net.plan, made.net.state_dict(), {}))
        accounts[fold.name] = {**_account(made.net, shop, fold), **made.as_dict()}
    shop.ledger.done("prune", mark, accounts, [shop.path("pruned", fold) for fold in shop.trained_folds])
    return accounts


def final(shop: Workshop, fold: Fold) -> CamNet:
    """The network of a fold after the last of the steps that change it."""
    if not shop.recipe.net.is_foreign:
        net = train.restored(shop.path("pruned" if shop.recipe.prune else "student", fold), shop.task.shipped)
        net.outlines = shop.task.outlines
        return net
    net = own(shop)
    if shop.learnt:  # it is made by the recipe's function, never by a name that a checkpoint holds
        path = shop.path("student", fold)
        checkpoint.fill(net, checkpoint.load(path).state, path)
    return net.eval()


def own(shop: Workshop) -> CamNet:
    """The network that the user brought, as it came."""
    return foreign.brought_in(shop.recipe, shop.near, shop.spec, shop.work)


def path_of_final(shop: Workshop, fold: Fold) -> Path:
    """Where the weights of :func:`final` are kept."""
    return shop.path("pruned" if shop.recipe.prune else "student", fold)


def word_of_final(shop: Workshop, fold: Fold) -> str:
    """One word for the weights of :func:`final`."""
    return _word(path_of_final(shop, fold))


# --- what the steps share -----------------------------------------------------------------------------------------


def shop_example(shop: Workshop) -> torch.Tensor:
    """Two noise films of the model's size, always the same."""
    size = (2, shop.spec.channels, *shop.spec.shape)
    return torch.rand(size, generator=torch.Generator().manual_seed(0))


def _taught(shop: Workshop, fold: Fold, extra: int, student: CamNet | None = None) -> tuple[CamNet, fitting.Objective]:
    """A student and what it learns: from its fold's teachers, or, where there are none, from itself before pruning."""
    recipe = shop.recipe
    assert recipe.train is not None
    films = shop.films(fold.train)
    aim = targets.extended(targets.costly(films, recipe), extra)
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
    from converters.formats import artefacts

    source = artefacts.float_file(runtime)
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


def _account(net: CamNet, shop: Workshop, fold: Fold) -> dict[str, Any]:
    """What is noted of a trained network: size, work, and its AUC on the films held back from it."""
    held = shop.films(fold.held)
    judged = not set(fold.held) & set(fold.train)
    area = intervals.auc(labels_of(held), shop.scores(net, shop.array(held))) if judged else None
    return {
        "parameters": net.parameters_count, "multiplications": multiplications(net, shop_example(shop)),
        "auc": None if area is None else round(area, 4), "films": len(fold.train), "held": len(fold.held),
    }  # fmt: skip


def _word(path: Path) -> str:
    return digest_of(path)
