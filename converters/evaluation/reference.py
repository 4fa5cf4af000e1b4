"""The reference: what the network's own script says of the films at home, beside what it says of the box's input.

A network answers worse where it is shown other input than it was trained on: squashed films, other greys, other
colours. ``[reference]`` names what the engineer's own code says of the same films: a function of a film's path, or a
CSV of scores. The step ``calibrate`` compares both, film by film, and refuses where the box's way costs more AUC than
``[gate] auc_loss`` allows. Higher must mean the finding; the scale does not matter.
"""

import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.data.datasets import Film
from converters.data.label_tables import rows_by_file
from converters.data.predictions import Predictions
from converters.evaluation import gates
from converters.evaluation.gates import GateOutcome
from converters.failures import DataUnreadable, GateFailed, RecipeInvalid
from converters.nets import foreign
from converters.recipe_tables import Reference
from converters.statistics import intervals, paired
from converters.workflow.ledger import digest_of
from converters.workflow.recipe_run import RecipeRun
from firmware_app.core import console
from firmware_app.packs.evidence import ReferenceAgreement

REPAIR = (
    "Say under [input] what the network was trained on (greys, resize, range, colour, crop), and under [net] its mean "
    "and std; docs/your-own-model.md has the keys"
)


def list_dependencies(run: RecipeRun) -> dict[str, Any]:
    """What the comparison depends on, for the ledger; empty without a reference."""
    wanted = run.recipe.reference
    if wanted is None:
        return {}
    path = run.near / (wanted.scores or f"{_module(wanted).replace('.', '/')}.py")
    return {"reference": [wanted.model_dump(mode="json"), digest_of(path) if path.is_file() else ""]}


def check_gates(run: RecipeRun, box: Predictions) -> dict[str, Any]:
    """The agreement as the account of the step keeps it; empty without a reference.

    ``box`` is what the network says of the box's input. Raises :class:`~converters.failures.GateFailed`, or a
    :class:`~converters.failures.ConverterError` where the reference gives no number for a film.
    """
    wanted = run.recipe.reference
    if wanted is None:
        return {}
    films = run.films(box.names).films
    by_name = {film.name: film for film in films}
    home, allowed = score(wanted, run.near, [by_name[name] for name in box.names]), run.recipe.gate.auc_loss
    change = paired.auc(box.labels, home, box.logits, box.patients)  # patients resampled
    at_home, in_box = (intervals.auc(box.labels, scores) or 0.0 for scores in (home, box.logits))
    said = (
        f"the reference's AUC at home is {at_home:.4f}, that of what the box shows the network {in_box:.4f}, on the "
        f"same {len(home)} films: {change.value:+.4f} ({change.low:+.4f} to {change.high:+.4f}), allowed {-allowed:+g}"
    )
    print(f"{run.recipe.pack}: {said}", file=sys.stderr, flush=True)
    outcome = gates.verdict_of("reference", change.value, change.low, -allowed, said).outcome
    if outcome is GateOutcome.REFUSED:
        raise GateFailed("reference", f"{said}. {REPAIR}")
    _, low, high = change.as_list()
    agreement = ReferenceAgreement.model_validate(
        {
            "script": wanted.function or wanted.scores,
            "outcome": outcome.value,
            "n": len(home),
            "auc_home": round(at_home, 4),
            "auc_box": round(in_box, 4),
            "change": round(change.value, 4),
            "change_ci": (low, high),
            "allowed": allowed,
        }
    )
    return {"reference": agreement.model_dump(mode="json")}


def score(wanted: Reference, near: Path, films: Sequence[Film]) -> NDArray[np.float64]:
    """(N,) scores of ``films``, in their order. Raises a :class:`~converters.failures.ConverterError`."""
    if wanted.scores is not None:
        return _read_scores(near / wanted.scores, films)
    function: Callable[[str], Any] = foreign.import_module(near, str(wanted.function), "reference.function")
    scores = np.empty(len(films))
    with foreign.importable(near), console.show_progress("reference: read") as advance:
        for place, film in enumerate(films):
            if film.index is not None:
                raise RecipeInvalid(film.name, "reference: films of an .npz have no files of their own; name scores")
            scores[place] = _number(film.name, function(str(film.path)))
            advance(place + 1, len(films))
    return scores


def _read_scores(path: Path, films: Sequence[Film]) -> NDArray[np.float64]:
    """Read scores by the films' names in the data set (``CLASS/one.png``), or by their file names."""
    rows = rows_by_file(path)
    found = [rows.get(film.name, rows.get(film.path.name)) for film in films]
    absent = [film.name for film, row in zip(films, found, strict=True) if row is None]
    if absent:
        raise DataUnreadable(str(path), f"{len(absent)} films are not in it, the first is {absent[0]}")
    if "score" not in next(iter(rows.values())):
        raise DataUnreadable(str(path), "it has no column score")
    return np.array([_number(film.name, row["score"]) for film, row in zip(films, found, strict=True) if row])


def _number(name: str, given: Any) -> float:
    try:
        value = float(given)
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise RecipeInvalid(name, f"reference: {given!r} is no number")
    return value


def _module(wanted: Reference) -> str:
    return str(wanted.function).partition(":")[0]
