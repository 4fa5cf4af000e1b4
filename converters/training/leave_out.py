"""Leave one source out: how good is a network on films of a hospital, machine or time that it never saw?

For every value of the trait that ``[data] leave_out`` names, the recipe's ``train`` step is done once more without the
films of that value, and judged on them.  These networks ship nowhere, and the frozen test part is not looked at.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from converters.data.recipe_data import labels_of
from converters.data.splits import Fold, by_source
from converters.failures import ClassEmpty, RecipeInvalid
from converters.statistics import intervals
from converters.training import steps
from converters.workflow.recipe_run import RecipeRun, begun

STEP = "leave_out"
STAGE = "unseen"


def leave_out_step(run: RecipeRun) -> dict[str, Any]:
    """The AUC on each source, of a network that has not seen it; nothing where the recipe names no trait."""
    recipe, trait = run.recipe, run.recipe.data.leave_out
    if trait is None or recipe.train is None:
        (run.work / f"{STEP}.json").unlink(missing_ok=True)  # of an earlier recipe
        return {}
    folds = left_out(run, trait)
    trained_from = {**steps.tables(recipe, "train", "net", "cost", "input"), **begun(run, "train")}
    tables = {**trained_from, STEP: repr(list(folds.items()))}
    mark = run.ledger.fingerprint(tables, (), run.digest)
    if (known := run.ledger.results(STEP, mark)) is not None:
        return known
    sources = [{"value": value, **judged(run, fold)} for value, fold in folds.items()]
    results = {"trait": trait, "sources": sources}
    run.ledger.done(STEP, mark, results, [run.path(STAGE, fold) for fold in folds.values()])
    return results


def left_out(run: RecipeRun, trait: str) -> Mapping[str, Fold]:
    """Value of the trait → the fold without it.  A clinic's feedback is learnt from in all of them, and judges none.

    Raises :class:`~converters.failures.RecipeInvalid` when there are fewer than two values, and
    :class:`~converters.failures.ClassEmpty` when what is left has one class only.
    """
    names = tuple(dict.fromkeys(run.dataset.division.part("train") + run.dataset.division.part("val")))
    films = run.films(names).films
    labels = {film.name: film.label for film in films}
    fed = set(run.dataset.feedback)
    values = {film.name: dict(film.traits).get(trait, "") for film in films if film.name not in fed}
    sources = sorted(set(values.values()) - {""})
    if len(sources) < 2:
        raise RecipeInvalid(run.recipe.pack, f"[data] leave_out: the films have {len(sources)} values of “{trait}”")
    folds = {}
    for number, (value, fold) in enumerate(zip(sources, by_source(labels, run.dataset.group_of, values), strict=True)):
        for label, word in ((0, "negative"), (1, "positive")):
            if not any(labels[name] == label for name in fold.train):
                raise ClassEmpty(fold.name, word)
        folds[value] = Fold(f"source{number}", fold.train, fold.held)
    return folds


def judged(run: RecipeRun, fold: Fold) -> dict[str, Any]:
    """Fit without a source, and judge on it; without an AUC where its films are of one class."""
    net = steps.trained(run, fold, STAGE, list(fold.train))
    films = run.films(fold.held)
    labels, logits = labels_of(films), run.scores(net, run.array(films))
    area = intervals.auc(labels, logits)
    interval = intervals.auc_interval(labels, np.asarray(logits), [film.patient for film in films.films])
    return {
        "n": len(labels), "positives": int(labels.sum()), "learnt_from": len(fold.train),
        "auc": None if area is None else round(area, 4),
        "auc_ci": None if interval is None else [round(end, 4) for end in interval],
    }  # fmt: skip
