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
from converters.nets.pair import Pair
from converters.recipe_tables import Distill
from converters.statistics import intervals
from converters.training import checkpoint, distill, fitting, pairing, prune, targets, train
from converters.training.checkpoint import Checkpoint
from converters.workflow.ledger import digest_of
from converters.workflow.recipe_run import RecipeRun as RecipeRun
from converters.workflow.recipe_run import digest_starts, write_names
from converters.workflow.recipe_run import tables as tables
from firmware_app.packs.runtimes import registry


def train_step(run: RecipeRun) -> dict[str, Any]:
    """A teacher per fold; where there is none, the pack's own network per fold and the one that ships."""
    recipe, plan = run.recipe, run.recipe.train
    if plan is None:
        return {}
    has_teacher = recipe.net.teacher is not None
    folds = run.dataset.division.folds if has_teacher else run.trained_folds
    stage = "teacher" if has_teacher else "student"
    made_of = {**tables(recipe, "train", "net", "cost", "input"), **digest_starts(run, "train")}
    mark = run.ledger.fingerprint(made_of, (), run.digest)
    write_names(run)
    if (known := run.ledger.results("train", mark)) is not None:
        return known
    accounts: dict[str, Any] = {}
    for fold in folds:
        accounts[fold.name] = _account(train_network(run, fold, stage), run, fold)
    if recipe.net.members:
        pairing.mix(run, stage)
    run.ledger.record_step("train", mark, accounts, [run.path(stage, fold) for fold in folds])
    return accounts


def train_network(run: RecipeRun, fold: Fold, stage: str, *made_from: object) -> CamNet:
    """The network of ``[train]``, fitted to the films of a fold and kept as that of ``stage``; of a pair not mixed."""
    members = run.recipe.net.members
    if not members:
        return _fit(run, fold, stage, run.recipe.net.teacher or run.recipe.net.student, *made_from)
    pair = Pair.join([_fit(run, fold, f"{stage}-{name}", name, *made_from) for name in members])
    pairing.keep(pair, run, stage, fold.name)
    return pair


def _fit(run: RecipeRun, fold: Fold, stage: str, name: str | None, *made_from: object) -> CamNet:
    recipe, plan, films = run.recipe, run.recipe.train, run.films(fold.train)
    assert plan is not None
    aim = run.task.targets(run, films)
    channels = run.task.channels(recipe, aim)
    net = load_own(run) if name is None else train.initialise_network(recipe, name, channels, run.near)
    net.outlines = run.task.outlines
    objective = run.task.objective(run, films, aim, net)
    kept = run.fit_run(stage, fold, plan, channels, *made_from, begun=digest_starts(run, "train"))
    return fitting.fit(net, run.collect_films(fold, plan=plan), objective, plan, kept)


def distill_step(run: RecipeRun) -> dict[str, Any]:
    """A student per fold from that fold's teacher, and the one that ships from all of them."""
    recipe, plan = run.recipe, run.recipe.distill
    if plan is None:
        return {}
    assert recipe.train is not None
    first = digest_starts(run, "distill")
    mark = run.ledger.fingerprint({**tables(recipe, "distill"), **first}, ("train",), run.digest)
    write_names(run)
    if (known := run.ledger.results("distill", mark)) is not None:
        return known
    accounts: dict[str, Any] = {}
    for fold in run.trained_folds:
        extra = run.extra.pixels_of(fold)
        student, objective = _teach(run, fold, len(extra))
        kept = run.fit_run("student", fold, plan, [_word(path) for path in _teachers(run, fold)], begun=first)
        fitted = fitting.fit(student, run.collect_films(fold, extra, plan), objective, plan, kept)
        accounts[fold.name] = _account(fitted, run, fold)
    run.ledger.record_step("distill", mark, accounts, [run.path("student", fold) for fold in run.trained_folds])
    return accounts


def prune_step(run: RecipeRun) -> dict[str, Any]:
    """Every student narrowed to the same plan, step by step, each step followed by fine-tuning."""
    recipe, plan = run.recipe, run.recipe.prune
    if plan is None:
        return {}
    first = digest_starts(run, "distill")
    mark = run.ledger.fingerprint({**tables(recipe, "prune"), **first}, run.training_steps[:-1], run.digest)
    if (known := run.ledger.results("prune", mark)) is not None:
        return known
    accounts: dict[str, Any] = {}
    for fold in run.trained_folds:
        student, extra = train.restore(run.path("student", fold)), run.extra.pixels_of(fold)

        def recover(net: CamNet, step: int, fold: Fold = fold, extra: NDArray[np.uint8] = extra) -> CamNet:
            last = step == plan.steps - 1
            epochs = plan.final_epochs if last else plan.epochs
            if not epochs:
                return net
            own = plan.model_copy(update={"epochs": epochs})
            _, objective = _teach(run, fold, len(extra), student=net)
            kept = run.fit_run(f"pruned{step}", fold, own, net.plan, _word(run.path("student", fold)), begun=first)
            return fitting.fit(net, run.collect_films(fold, extra, own), objective, own, kept)

        made = prune.prune(student, plan, make_example(run), recover, lambda net: latency_ms(run, net, plan.runtime))
        checkpoint.save(run.path("pruned", fold), Checkpoint(made.net.name, made.net.plan, made.net.state_dict(), {}))
        accounts[fold.name] = {**_account(made.net, run, fold), **made.as_dict()}
    run.ledger.record_step("prune", mark, accounts, [run.path("pruned", fold) for fold in run.trained_folds])
    return accounts


def load_final(run: RecipeRun, fold: Fold) -> CamNet:
    """The network of a fold after the last of the steps that change it."""
    if not run.recipe.net.is_foreign:
        net = train.restore(run.path("pruned" if run.recipe.prune else "student", fold), run.task.shipped)
        net.outlines = run.task.outlines
        return net
    net = load_own(run)
    if run.training_steps:  # it is made by the recipe's function, never by a name that a checkpoint holds
        path = run.path("student", fold)
        checkpoint.fill(net, checkpoint.load(path).state, path)
    return net.eval()


def load_own(run: RecipeRun) -> CamNet:
    """The network that the user brought, as it came."""
    return foreign.load_foreign(run.recipe, run.near, run.spec, run.work)


def find_final_path(run: RecipeRun, fold: Fold) -> Path:
    """The path of the weights of :func:`load_final`."""
    return run.path("pruned" if run.recipe.prune else "student", fold)


def digest_final(run: RecipeRun, fold: Fold) -> str:
    """One word for the weights of :func:`load_final`."""
    return _word(find_final_path(run, fold))


# --- what the steps share -----------------------------------------------------------------------------------------


def make_example(run: RecipeRun) -> torch.Tensor:
    """Two noise films of the model's size, always the same."""
    size = (2, run.spec.channels, *run.spec.shape)
    return torch.rand(size, generator=torch.Generator().manual_seed(0))


def _teach(run: RecipeRun, fold: Fold, extra: int, student: CamNet | None = None) -> tuple[CamNet, fitting.Objective]:
    """A student and what it learns: from its fold's teachers, or, where there are none, from itself before pruning."""
    recipe = run.recipe
    assert recipe.train is not None
    films = run.films(fold.train)
    aim, labelled = targets.make_student_targets(targets.weigh_by_cost(films, recipe), extra)
    plan = recipe.distill or Distill(hint_weight=0.0)
    if student is None:
        is_foreign = recipe.net.is_foreign
        student = load_own(run) if is_foreign else train.initialise_student(recipe, plan, run.work.parent, run.near)
    teachers = [train.restore(path) for path in _teachers(run, fold)]
    return student, distill.teach(
        student, teachers, aim, labelled=labelled, plan=plan, smoothing=recipe.train, example=make_example(run)
    )


def teacher(run: RecipeRun, fold: Fold) -> CamNet:
    """The teacher of a fold."""
    return train.restore(run.path("teacher", fold))


def latency_ms(run: RecipeRun, net: CamNet, runtime: str) -> float:
    """Median milliseconds of one film in ``runtime``'s float file of ``net``, two threads, on this machine."""
    from converters.formats import artefacts

    source = artefacts.float_file(runtime)
    with TemporaryDirectory() as folder:
        artefacts.export(net, run.spec, Path(folder), (source,))
        module = registry.get_runtime(runtime)
        session = module.load(Path(folder) / artefacts.NAMES[source], module.Config(threads=2))
    film = {run.spec.name: artefacts.noise(run.spec, 1).numpy()}
    times = []
    for _ in range(20):
        begun = time.perf_counter()
        session.infer(film)
        times.append(1e3 * (time.perf_counter() - begun))
    return float(np.median(times[3:]))


def _teachers(run: RecipeRun, fold: Fold) -> list[Path]:
    """The teachers of a fold's student: none of them has seen the films that judge it."""
    if run.recipe.net.teacher is None:
        return [run.path("student", fold)]
    known = {one.name for one in run.dataset.division.folds}
    if fold.name in known:
        return [run.path("teacher", fold)]
    return [run.path("teacher", one) for one in run.dataset.division.folds]


def _account(net: CamNet, run: RecipeRun, fold: Fold) -> dict[str, Any]:
    """The record of a trained network: size, operations, and its AUC on held-back films."""
    held = run.films(fold.held)
    judged = not set(fold.held) & set(fold.train)
    area = intervals.auc(labels_of(held), run.scores(net, run.array(held))) if judged else None
    return {
        "parameters": net.parameters_count,
        "multiplications": multiplications(net, make_example(run)),
        "auc": None if area is None else round(area, 4),
        "films": len(fold.train),
        "held": len(fold.held),
    }


def _word(path: Path) -> str:
    return digest_of(path)
