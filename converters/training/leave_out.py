"""Leave one source out: how good is a network on films of a hospital, machine or time that it never saw?

For every value of the trait that ``[data] leave_out`` names, the recipe's ``train`` step is done once more without the
films of that value, and judged on them.  A share of the other films (``[data] val``) is kept back too: on it
calibration and threshold are chosen by the recipe's rule, so that sensitivity and specificity tell what a threshold of
other places does at this one; a task that marks lesions also reports lesions found, Dice and false marks there.  These
networks ship nowhere, and the frozen test part is not looked at.
"""

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from converters.data.datasets import FilmSet
from converters.data.recipe_data import labels_of
from converters.data.splits import Fold, by_source, draw
from converters.evaluation import metrics, threshold
from converters.evaluation.operating_point import abstains
from converters.failures import GateFailed, RecipeInvalid
from converters.nets import CamNet
from converters.statistics import conformal, intervals, selective
from converters.tasks.interface import EvaluatedFilms
from converters.training import fitting, steps
from converters.workflow.recipe_run import RecipeRun, digest_starts

STEP = "leave_out"
STAGE = "unseen"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A source's fold (what is learnt from, and the source's films), and the films that choose the threshold."""

    fold: Fold
    kept: tuple[str, ...]


def leave_out_step(run: RecipeRun) -> dict[str, Any]:
    """The AUC on each source, of a network that has not seen it; nothing where the recipe names no trait."""
    recipe, trait = run.recipe, run.recipe.data.leave_out
    if trait is None or recipe.train is None:
        (run.work / f"{STEP}.json").unlink(missing_ok=True)  # of an earlier recipe
        return {}
    folds = leave_out(run, trait)
    trained_from = {
        **steps.tables(recipe, "train", "net", "cost", "operating_point", "input", *abstains(recipe)),
        **digest_starts(run, "train"),
    }
    tables = {**trained_from, STEP: repr(list(folds.items()))}
    mark = run.ledger.fingerprint(tables, (), run.digest)
    if (known := run.ledger.results(STEP, mark)) is not None:
        return known
    sources = [{"value": value, **judge(run, one)} for value, one in folds.items()]
    results = {"trait": trait, "sources": sources}
    run.ledger.record_step(STEP, mark, results, [run.path(STAGE, fold.fold) for fold in folds.values()])
    return results


def leave_out(run: RecipeRun, trait: str) -> Mapping[str, LeftOut]:
    """Value of the trait → the fold without it.

    A clinic's feedback is learnt from in all of them, and judges none.  A set with a head of its own judges none
    either: it is no source to be left out, and of another trait its films of the value left out are not learnt from.

    A source without which only one class is left cannot be left out, and a line says so.  Raises
    :class:`~converters.failures.RecipeInvalid` when there are fewer than two values, or none that can be left out.
    """
    names = tuple(dict.fromkeys(run.dataset.division.part("train") + run.dataset.division.part("val")))
    films = run.films(names).films
    labels = {film.name: film.label for film in films}
    only_learnt, own = set(run.dataset.division.joined), run.dataset.own_heads
    values = {film.name: film.values(trait) for film in films if film.name not in only_learnt}
    of_own = {film.name: film.values(trait) for film in films if film.name in own}
    sources = sorted(set(values.values()) - {""})
    if len(sources) < 2:
        raise RecipeInvalid(run.recipe.pack, f"[data] leave_out: the films have {len(sources)} values of “{trait}”")
    folds = {}
    for number, (value, fold) in enumerate(zip(sources, by_source(labels, run.dataset.group_of, values), strict=True)):
        may_judge = {name: labels[name] for name in fold.train if name not in only_learnt}
        kept = draw(may_judge, run.dataset.group_of, run.recipe.data.val, run.recipe.seed)[1]
        groups = {run.dataset.group_of[name] for name in kept}
        train = tuple(
            name for name in fold.train if run.dataset.group_of[name] not in groups and of_own.get(name) != value
        )
        if all(_has_both(labels[name] for name in part if name not in own) for part in (train, kept)):
            folds[value] = LeftOut(Fold(f"source{number}", train, fold.held), kept)
        else:
            line = f"{run.recipe.pack}: {trait} {value} is not left out: without it the films are of one class"
            print(line, file=sys.stderr, flush=True)
    if not folds:
        raise RecipeInvalid(run.recipe.pack, f"[data] leave_out: without any one {trait} the films are of one class")
    return folds


def judge(run: RecipeRun, one: LeftOut) -> dict[str, Any]:
    """Fit without one source, and evaluate on it; ``why`` gives the reason for each missing number."""
    net = steps.train_network(run, one.fold, STAGE, list(one.fold.train))
    films, kept = run.films(one.fold.held), run.films(one.kept)
    labels, logits = labels_of(films), np.asarray(run.scores(net, run.array(films)))
    marks, no_marks = lesions(run, net, films, kept)
    patients = [film.patient for film in films.films]
    numbers: dict[str, Any] = {
        "auc": intervals.auc(labels, logits),
        "auc_ci": intervals.auc_interval(labels, logits, patients),
        **dict.fromkeys(("threshold", "sensitivity", "sensitivity_ci", "specificity", "specificity_ci")),
    }
    why = metrics.list_undefined(labels)
    known, judges = labels_of(kept), np.asarray(run.scores(net, run.array(kept)))
    try:
        point = threshold.calibrate(run.recipe, known, judges)
    except GateFailed as error:
        why = dict.fromkeys(("sensitivity", "specificity"), str(error)) | why
    else:
        cut, level = point["threshold"], run.recipe.abstain.error
        odds, of_kept = (point["slope"] * array + point["intercept"] for array in (logits, judges))
        scores = threshold.sigmoid(odds)
        numbers |= {
            "threshold": cut,
            **metrics.rates_at(labels, scores, cut, patients),
            **metrics.wrong_at(labels, scores, cut, patients),
            "coverage": selective.curve(labels, odds - threshold.odds(cut), patients),
        }
        if level is not None:
            given = conformal.is_given(scores, *conformal.limits(known, threshold.sigmoid(of_kept), level, cut))
            numbers |= metrics.measure_given(labels, scores, cut, patients, given)
    return {
        "n": len(labels),
        "positives": int(labels.sum()),
        "learnt_from": len(one.fold.train),
        "kept": len(one.kept),
        **metrics.plain(numbers | marks),
        "why": why | no_marks,
    }


def lesions(run: RecipeRun, net: CamNet, films: FilmSet, kept: FilmSet) -> tuple[dict[str, Any], dict[str, str]]:
    """What the network marks on ``films``, at thresholds chosen on ``kept``, where the task marks any; and why not."""
    if not run.task.marks_away:
        return {}, {}
    home, away = (
        EvaluatedFilms(film_set, fitting.outputs(net, run.array(film_set), run.task.outputs), net.biases)
        for film_set in (kept, films)
    )
    try:
        results = run.task.measure_external_lesions(run.recipe, home, away)
    except GateFailed as error:
        return {}, {"lesion_sensitivity": str(error)}
    return ({} if results is None else results.as_dict()), {}


def _has_both(labels: Iterable[int]) -> bool:
    return set(labels) == {0, 1}
