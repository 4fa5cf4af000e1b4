"""The figures of a pack on films of another place: a row of its manifest, and the same as a table of text."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from converters.data.datasets import FilmSet
from converters.data.recipe_data import labels_of
from converters.elsewhere import box
from converters.elsewhere.box import BoxAnswer
from converters.evaluation import metrics
from converters.evaluation.box_inference import Tick, silent
from converters.failures import DataUnreadable
from converters.statistics import intervals
from firmware_app.packs.evidence import ExternalValidation
from firmware_app.packs.pack_folder import Pack
from firmware_app.packs.runtimes import registry
from firmware_app.packs.tasks.interface import FindingPart
from firmware_app.packs.typicality import FamiliarityCheck

NO_NUMBER = "no film gets a number"


def measure(pack: Pack, films: FilmSet, runtime: str, precision: str, tick: Tick = silent) -> ExternalValidation:
    """Ask one file of the pack about every film as the box would. Raises :class:`DataUnreadable`."""
    session = registry.get_runtime(runtime).load(pack.artefact(runtime, precision))
    try:
        familiar = FamiliarityCheck.load(pack, runtime, precision)
    except ValueError as error:
        raise DataUnreadable(str(pack.folder), str(error)) from error
    said = []
    for number, film in enumerate(films.films, 1):
        said.append(box.run_session(session, film, pack.manifest, familiar))
        tick(number, len(films.films))
    return row(films, said, pack.manifest.section.findings[0], runtime, precision)


def row(
    films: FilmSet, said: Sequence[BoxAnswer], finding: FindingPart, runtime: str, precision: str
) -> ExternalValidation:
    """The figures of what was ``said`` of each film, numbers to four places."""
    labels, patients = labels_of(films), np.array([film.patient for film in films.films])
    scored, read = (
        np.array([box_answer.score is not None for box_answer in said]),
        np.array([one.refused is None for one in said]),
    )
    logits = np.array([0.0 if box_answer.score is None else box_answer.score for box_answer in said])
    scores = metrics.probabilities_of(logits, finding)
    read &= scored
    numbers: dict[str, Any] = {
        "passed": float(read.mean()),
        "passed_ci": intervals.rate_interval(read, patients.tolist()),
    }
    why: dict[str, str] = {}
    for chosen, suffix in ((scored, ""), (read, "_passed")):
        own, people = labels[chosen], patients[chosen].tolist()
        figures = {
            "auc": intervals.auc(own, scores[chosen]),
            "auc_ci": intervals.auc_interval(own, scores[chosen], people),
            **metrics.rates_at(own, scores[chosen], finding.threshold, people),
            **metrics.wrong_at(own, scores[chosen], finding.threshold, people),
        }
        numbers |= {_with(name, suffix): value for name, value in figures.items()}
        missing = metrics.list_undefined(own)
        why |= {f"{name}{suffix}": NO_NUMBER if suffix and not len(own) else words for name, words in missing.items()}
    refused = Counter(box_answer.refused for box_answer in said if box_answer.refused is not None)
    return ExternalValidation.model_validate(
        {
            "source": films.name,
            "runtime": runtime,
            "precision": precision,
            "n": len(labels),
            "positives": int(labels.sum()),
            "n_passed": int(read.sum()),
            "positives_passed": int(labels[read].sum()),
            "scored": int(scored.sum()),
            "threshold": finding.threshold,
            **metrics.plain(numbers),
            "refused": dict(sorted(refused.items())),
            "why": why,
        }
    )


def _with(name: str, suffix: str) -> str:
    """``auc_ci`` with ``_passed`` is ``auc_passed_ci``, as in a row of the test part."""
    return f"{name.removesuffix('_ci')}{suffix}_ci" if name.endswith("_ci") else f"{name}{suffix}"


def table(one: ExternalValidation) -> str:
    """A row as text, the figures of all films beside those of films that get a number."""

    def rate(name: str, suffix: str) -> str:
        value, ends = getattr(one, f"{name}{suffix}"), getattr(one, f"{name}{suffix}_ci")
        if value is None or ends is None:
            return f"not defined: {one.why.get(f'{name}{suffix}', '')}"
        return f"{value:.3f}  (95 % interval {ends[0]:.3f} to {ends[1]:.3f})"

    lines = [
        f"elsewhere: {one.source}, {one.precision} in {one.runtime}: {one.n} films, {one.positives} positive",
        f"  a number     {rate('passed', '')}  of the films get one on the box; of these:",
        *(f"  {shown}{rate(name, '_passed')}" for name, shown in _SHOWN),
        f"  of all {one.scored} films that a model input can be made of:",
        *(f"  {shown}{rate(name, '')}" for name, shown in _SHOWN),
    ]
    if one.set_aside:
        lines.append(f"  set aside, as known from home: {one.set_aside} films")
    if one.refused:
        lines.append(f"  refused      {', '.join(f'{code} {count}' for code, count in one.refused.items())}")
    return "\n".join(lines)


_SHOWN = (
    ("auc", "AUC          "),
    ("sensitivity", "sensitivity  "),
    ("specificity", "specificity  "),
    ("wrong", "wrong        "),
)
