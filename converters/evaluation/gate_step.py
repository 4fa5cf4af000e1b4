"""The step ``gate``: every model file before the gates: passed, inconclusive or refused, and why."""

from typing import Any

import numpy as np

from converters.evaluation import gates
from converters.evaluation.gates import GateOutcome, GateResult
from converters.evaluation.out_of_fold import original_outputs, predictions_path
from converters.evaluation.shipped_files import ShippedNetwork
from converters.formats import artefacts
from converters.formats.artefacts import NAMES, Key
from converters.formats.model_files import floats, not_made
from converters.quantizing.quantize_step import baseline_of
from converters.tasks.interface import Answers
from converters.training import steps
from converters.training.steps import RecipeRun


def gate_step(run: RecipeRun) -> dict[str, Any]:
    """Every file beside the PyTorch original: passed, inconclusive or refused, and why."""
    recipe = run.recipe
    mark = run.ledger.fingerprint(steps.tables(recipe, "gate"), ("calibrate", "quantize", "maps"), run.digest)
    if (known := run.ledger.results("gates", mark)) is not None:
        return known
    tried, explained, lost = run.ledger.read("quantize"), explanations(run), not_made(run)
    baseline, whole, made, entries = baseline_of(run), ShippedNetwork.from_run(run), [], []
    for key in (*artefacts.list_wanted(recipe), *artefacts.extras(recipe)):
        if key in lost:
            entries.append(_entry(key, [], lost[key]))
            continue
        if key[1] == "int8" and tried[key[0]]["chosen"] is None:
            entries.append(_without_choice(key, tried[key[0]]))
            continue
        if key[1] == "int8":
            verdicts = list(tried[key[0]]["chosen"]["gates"])
        elif key in artefacts.EXTRAS:  # the same weights as the file that every fold has
            verdicts = []
        else:
            answers, apart = _float_file(run, key)
            made.append(baseline.predictions(answers).save(predictions_path(run, key)))
            parity = gates.parity(key[1], *apart)
            verdicts = [verdict.as_dict() for verdict in (*baseline.verdicts(answers), *([parity] if parity else []))]
        path = floats(run, run.dataset.division.shipped) / artefacts.name_of(key)
        beside = (*explained.get(key, []), *whole.verdicts(path, key))
        entries.append(_entry(key, [*verdicts, *(gate_result.as_dict() for gate_result in beside)]))
    results = {"artefacts": entries}
    run.ledger.record_step("gates", mark, results, made)
    return results


def list_passed(run: RecipeRun) -> list[Key]:
    """The files that the gates let through, in the order of :data:`converters.formats.artefacts.NAMES`."""
    return [key for key in _list_accepted(run) if key in NAMES]


def list_passed_extras(run: RecipeRun) -> list[Key]:
    """The files for other machines that the gates let through."""
    return [key for key in _list_accepted(run) if key in artefacts.EXTRAS]


def _list_accepted(run: RecipeRun) -> list[Key]:
    entries = run.ledger.read("gates")["artefacts"]
    return [
        (entry["runtime"], entry["precision"]) for entry in entries if entry["outcome"] != GateOutcome.REFUSED.value
    ]


def explanations(run: RecipeRun) -> dict[Key, list[GateResult]]:
    """The verdicts of the map gate on every file that was compared with Grad-CAM."""
    entries = run.ledger.read("maps")["artefacts"]
    return {
        (entry["runtime"], entry["precision"]): [gates.explanation(entry["every_cell"]["mean"], run.recipe.gate)]
        for entry in entries
    }


def _without_choice(key: Key, account: dict[str, Any]) -> dict[str, Any]:
    """The verdict on an INT8 file without a passing candidate: why the nearest one was refused."""
    if not account["tried"]:
        return _entry(key, [], str(account["refused"]))
    nearest = min(account["tried"], key=lambda one: float(one["moved"]))
    return {**_entry(key, nearest["gates"], str(nearest["refused"])), "outcome": GateOutcome.REFUSED.value}


def _entry(key: Key, verdicts: list[dict[str, Any]], why: str = "") -> dict[str, Any]:
    refused = [str(verdict["said"]) for verdict in verdicts if verdict["outcome"] == GateOutcome.REFUSED.value]
    outcome = gates.gravest({GateOutcome(verdict["outcome"]) for verdict in verdicts})
    return {
        "runtime": key[0],
        "precision": key[1],
        "outcome": outcome.value,
        "gates": verdicts,
        "why": why or "; ".join(refused),
    }


def _float_file(run: RecipeRun, key: Key) -> tuple[Answers, tuple[float, float]]:
    """A float file's answers over all folds, and its largest difference from the original (:func:`gates.apart`)."""
    pooled, largest = [], (0.0, 0.0)
    for fold in run.dataset.division.folds:
        net, films = steps.load_final(run, fold), run.array(run.films(fold.held))
        outputs = artefacts.outputs(floats(run, fold) / NAMES[key], key[0], run.spec, films, run.task.outputs)
        relative, absolute = gates.apart(original_outputs(run, fold), outputs)
        largest = max(largest[0], relative), max(largest[1], absolute)
        pooled.append(run.task.answers(outputs, net.biases))
    return np.concatenate(pooled), largest
