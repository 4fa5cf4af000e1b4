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
from converters.workflow.recipe_run import Workshop, begun

STEP = "leave_out"
STAGE = "unseen"


def leave_out_step(shop: Workshop) -> dict[str, Any]:
    """The AUC on each source, of a network that has not seen it; nothing where the recipe names no trait."""
    recipe, trait = shop.recipe, shop.recipe.data.leave_out
    if trait is None or recipe.train is None:
        (shop.work / f"{STEP}.json").unlink(missing_ok=True)  # of an earlier recipe
        return {}
    folds = left_out(shop, trait)
    trained_from = {**steps.tables(recipe, "train", "net", "cost", "input"), **begun(shop, "train")}
    tables = {**trained_from, STEP: repr(list(folds.items()))}
    mark = shop.ledger.fingerprint(tables, (), shop.digest)
    if (known := shop.ledger.results(STEP, mark)) is not None:
        return known
    sources = [{"value": value, **judged(shop, fold)} for value, fold in folds.items()]
    results = {"trait": trait, "sources": sources}
    shop.ledger.done(STEP, mark, results, [shop.path(STAGE, fold) for fold in folds.values()])
    return results


def left_out(shop: Workshop, trait: str) -> Mapping[str, Fold]:
    """Value of the trait → the fold without it.  A clinic's feedback is learnt from in all of them, and judges none.

    Raises :class:`~converters.failures.RecipeInvalid` when there are fewer than two values, and
    :class:`~converters.failures.ClassEmpty` when what is left has one class only.
    """
    names = tuple(dict.fromkeys(shop.material.division.part("train") + shop.material.division.part("val")))
    films = shop.films(names).films
    labels = {film.name: film.label for film in films}
    fed = set(shop.material.feedback)
    values = {film.name: dict(film.traits).get(trait, "") for film in films if film.name not in fed}
    sources = sorted(set(values.values()) - {""})
    if len(sources) < 2:
        raise RecipeInvalid(shop.recipe.pack, f"[data] leave_out: the films have {len(sources)} values of “{trait}”")
    folds = {}
    for number, (value, fold) in enumerate(
        zip(sources, by_source(labels, shop.material.group_of, values), strict=True)
    ):
        for label, word in ((0, "negative"), (1, "positive")):
            if not any(labels[name] == label for name in fold.train):
                raise ClassEmpty(fold.name, word)
        folds[value] = Fold(f"source{number}", fold.train, fold.held)
    return folds


def judged(shop: Workshop, fold: Fold) -> dict[str, Any]:
    """Fit without a source, and judge on it; without an AUC where its films are of one class."""
    net = steps.trained(shop, fold, STAGE, list(fold.train))
    films = shop.films(fold.held)
    labels, logits = labels_of(films), shop.scores(net, shop.array(films))
    area = intervals.auc(labels, logits)
    interval = intervals.auc_interval(labels, np.asarray(logits), [film.patient for film in films.films])
    return {
        "n": len(labels), "positives": int(labels.sum()), "learnt_from": len(fold.train),
        "auc": None if area is None else round(area, 4),
        "auc_ci": None if interval is None else [round(end, 4) for end in interval],
    }  # fmt: skip
