"""The steps after training: calibrate, export, quantize, speed, gate.  All judge films that the judged network has not
seen: each fold's network its own held-back films, pooled.
"""

import math
import platform
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from converters import artefacts, fitting, gates, quantize, statistics, steps
from converters.artefacts import NAMES, Key
from converters.failures import GateFailed
from converters.formats import onnx_file
from converters.gates import Outcome, Verdict
from converters.material import labels_of
from converters.nets import CamNet
from converters.predictions import Predictions
from converters.recipe import Recipe
from converters.splits import Fold
from converters.steps import Workshop
from converters.words import PackWords, load_words
from firmware_app.packs.manifest import Calibration, FindingSpec
from firmware_app.runtimes import choice

ORIGINAL: Key = ("pytorch", "fp32")
FULL_SCALE_PERCENTILE = 75.0
"""The map is drawn at full strength from this percentile of the strongest cells of positive held-back films."""

SAMPLE_FILMS = 24
"""Films on which the layers' sensitivity is measured."""

ROUNDS = 30
THREADS = 2

Counted = Callable[[NDArray[np.int64], NDArray[np.float64]], float]


def words_of(shop: Workshop) -> PackWords:
    """What people say of the pack."""
    return load_words(shop.near / shop.recipe.describe)


def calibrate_step(shop: Workshop) -> dict[str, Any]:
    """The trained network's own answers, its calibration (Platt) and its threshold, frozen from here on."""
    recipe = shop.recipe
    mark = shop.ledger.fingerprint(steps.tables(recipe, "cost", "operating_point", "gate"), shop.learnt, shop.digest)
    if (known := shop.ledger.results("calibrate", mark)) is not None:
        return known
    pooled, peaks = [], []
    for fold in shop.material.division.folds:
        net, films = steps.final(shop, fold), shop.films(fold.held)
        found = eager_maps(net, shop.array(films))
        pooled.append(said(shop, fold, artefacts.logits(found, net.first_bias)))
        peaks.append(found[labels_of(films) == 1, 0].reshape(-1, found[0, 0].size).max(axis=1))
    original = pooled[0].joined(pooled[1:])
    kept = original.save(predictions_path(shop, ORIGINAL))
    labels = original.labels
    area = statistics.auc(labels, original.logits) or 0.0
    if area < recipe.gate.auc_at_least:
        raise GateFailed("calibrate", f"out-of-fold AUC {area:.4f} is below the recipe's {recipe.gate.auc_at_least}")
    slope, intercept = statistics.platt(labels, original.logits)
    if slope <= 0.0:
        raise GateFailed("calibrate", f"out-of-fold AUC {area:.4f}: a higher logit does not mean the finding")
    share = float(labels.mean())
    threshold, rule = operating_point(recipe, labels, sigmoid(slope * original.logits + intercept), share)
    whole = steps.final(shop, shop.material.division.shipped)
    results = {
        "slope": round(slope, 6), "intercept": round(intercept, 6), "threshold": round(threshold, 4), "rule": rule,
        "full_scale": round(max(float(np.percentile(np.concatenate(peaks), FULL_SCALE_PERCENTILE)), 1e-3), 3),
        "prevalence": round(share, 4), "bias": round(whole.first_bias, 6), "auc": round(area, 4),
    }  # fmt: skip
    shop.ledger.done("calibrate", mark, results, [kept])
    return results


def operating_point(
    recipe: Recipe, labels: NDArray[np.int64], scores: NDArray[np.float64], share: float
) -> tuple[float, str]:
    """The threshold, a calibrated probability at these films' prevalence ``share``, and the rule in words."""
    point, cost = recipe.operating_point, recipe.cost
    if point.rule == "sensitivity":
        rule = f"the highest threshold with sensitivity of at least {point.at_least:g} on {len(labels)} held-back films"
        return statistics.threshold_for_sensitivity(labels, scores, point.at_least), rule
    at_clinic = 1.0 / (1.0 + cost.miss)
    if cost.prevalence is None:
        return at_clinic, f"1 / (1 + {cost.miss:g}): a miss costs {cost.miss:g} false alarms, prevalence as in training"
    shift = odds(share) - odds(cost.prevalence)
    rule = f"a miss costs {cost.miss:g} false alarms at a prevalence of {cost.prevalence:g}"
    return float(sigmoid(np.array(odds(at_clinic) + shift))), rule


def finding_of(shop: Workshop) -> FindingSpec:
    """The manifest's finding, once calibration is done."""
    told, words = shop.ledger.read("calibrate"), words_of(shop).finding
    return FindingSpec(
        code=words.code, label=words.label, channel=0, bias=told["bias"],
        calibration=Calibration(kind="platt", slope=told["slope"], intercept=told["intercept"]),
        threshold=told["threshold"], threshold_rule=told["rule"], priority=words.priority,
    )  # fmt: skip


def export_step(shop: Workshop) -> dict[str, Any]:
    """The float files of every fold's network and of the one that ships."""
    recipe = shop.recipe
    mark = shop.ledger.fingerprint(steps.tables(recipe, "export", "input"), shop.learnt, shop.digest)
    if (known := shop.ledger.results("export", mark)) is not None:
        return known
    made: list[Path] = []
    for fold in shop.trained_folds:
        net, ships = steps.final(shop, fold), fold == shop.material.division.shipped
        static = recipe.export.static and ships
        made += artefacts.export(net, shop.spec, floats(shop, fold), artefacts.wanted(recipe), static=static)
    results = {"opset": onnx_file.OPSET, "files": {path.name: path.stat().st_size for path in made}}
    shop.ledger.done("export", mark, results, made)
    return results


def quantize_step(shop: Workshop) -> dict[str, Any]:
    """Search the INT8 file of each runtime over all folds, and make the one that ships in the way that was found."""
    recipe, division = shop.recipe, shop.material.division
    tables = steps.tables(recipe, "quantize", "gate", "export")
    mark = shop.ledger.fingerprint(tables, ("calibrate", "export"), shop.digest)
    if (known := shop.ledger.results("quantize", mark)) is not None:
        return known
    original = Predictions.load(predictions_path(shop, ORIGINAL))
    threshold = threshold_logit(shop)
    found: dict[str, Any] = {}
    made: list[Path] = []
    for key in artefacts.wanted(recipe):
        runtime = key[0]
        if key[1] != "int8":
            continue
        rounded = artefacts.Rounded(
            runtime, [floats(shop, fold) for fold in division.folds],
            [calibration_films(shop, fold) for fold in division.folds],
        )  # fmt: skip
        tries = shop.work / "tries" / runtime
        shutil.rmtree(tries, ignore_errors=True)

        def pooled(folder: Path, key: Key = key) -> NDArray[np.float64]:
            return np.concatenate([fold_logits(shop, fold, folder / fold.name, key) for fold in division.folds])

        def sample(folder: Path, key: Key = key) -> NDArray[np.float64]:
            return fold_logits(shop, division.folds[0], folder / division.folds[0].name, key, SAMPLE_FILMS)

        def judge(logits: NDArray[np.float64]) -> list[Verdict]:
            return gates.judged(original, with_logits(original, logits), threshold, recipe.gate)

        search = quantize.search(
            rounded, tries, original.logits, pooled, judge, recipe.quantize.most_spared, sample
        )  # fmt: skip
        found[runtime] = search.as_dict()
        if search.chosen is not None:
            made.append(with_logits(original, search.chosen.logits).save(predictions_path(shop, key)))
            made += shipped_int8(shop, runtime, search.chosen)
    shutil.rmtree(shop.work / "tries", ignore_errors=True)
    if recipe.export.static and ("onnxruntime", "int8") in artefacts.wanted(recipe):
        folder, films = floats(shop, division.shipped), calibration_films(shop, division.shipped)
        made.append(onnx_file.quantize(folder / artefacts.STATIC, folder / artefacts.TENSORRT, films, "minmax",
                                       kind="s8s8"))  # fmt: skip
    shop.ledger.done("quantize", mark, found, made)
    return found


def shipped_int8(shop: Workshop, runtime: str, chosen: quantize.Candidate) -> list[Path]:
    """The INT8 files of the network that ships, made as the chosen candidate was."""
    shipped = shop.material.division.shipped
    folder = floats(shop, shipped)
    films = calibration_films(shop, shipped)
    return artefacts.rounded(runtime, folder, folder, films, chosen.method, chosen.spared)


def speed_step(shop: Workshop) -> dict[str, Any]:
    """Median milliseconds of one film in each file that ships and in PyTorch, in turns, on two threads here."""
    mark = shop.ledger.fingerprint(steps.tables(shop.recipe), ("quantize",), shop.digest)
    if (known := shop.ledger.results("speed", mark)) is not None:
        return known
    folder = floats(shop, shop.material.division.shipped)
    film = artefacts.noise(shop.spec, 1)
    asked: list[tuple[Key, str, int, Callable[[], object]]] = []
    for key in present(shop):
        config = choice.get(key[0]).Config(threads=THREADS)
        session = choice.get(key[0]).load(folder / NAMES[key], config)
        size = sum(path.stat().st_size for path in artefacts.files_of(folder / NAMES[key]))
        given = {shop.spec.name: film.numpy()}
        asked.append((key, NAMES[key], size, lambda session=session, given=given: session.infer(given)))  # type: ignore[misc]
    for name, net in eager_nets(shop).items():
        asked.append((ORIGINAL, name, 4 * net.parameters_count, lambda net=net: asked_eagerly(net, film)))  # type: ignore[misc]
    torch.set_num_threads(THREADS)
    times: list[list[float]] = [[] for _ in asked]
    for _ in range(ROUNDS):
        for (_, _, _, ask), own in zip(asked, times, strict=True):
            begun = time.perf_counter()
            ask()
            own.append(1e3 * (time.perf_counter() - begun))
    rows = []
    for ((runtime, precision), name, size, _), own in zip(asked, times, strict=True):
        low, middle, high = np.percentile(own[3:], (5, 50, 95))
        rows.append({
            "runtime": runtime, "precision": precision, "name": name, "milliseconds": round(float(middle), 3),
            "low": round(float(low), 3), "high": round(float(high), 3), "bytes": size,
        })  # fmt: skip
    results = {"machine": machine(), "threads": THREADS, "rows": rows}
    shop.ledger.done("speed", mark, results, [])
    return results


def gate_step(shop: Workshop) -> dict[str, Any]:
    """Every file beside the PyTorch original: passed, inconclusive or refused, and why."""
    recipe = shop.recipe
    mark = shop.ledger.fingerprint(steps.tables(recipe, "gate"), ("quantize",), shop.digest)
    if (known := shop.ledger.results("gates", mark)) is not None:
        return known
    original = Predictions.load(predictions_path(shop, ORIGINAL))
    threshold, made, told = threshold_logit(shop), [], []
    tried = shop.ledger.read("quantize")
    for key in artefacts.wanted(recipe):
        if key[1] == "int8":
            told.append(_searched(key, tried[key[0]]))
            continue
        found, largest = _float_file(shop, key)
        made.append(with_logits(original, found).save(predictions_path(shop, key)))
        verdicts = gates.judged(original, with_logits(original, found), threshold, recipe.gate)
        verdicts += [one for one in (gates.parity(key[1], largest),) if one is not None]
        told.append(_entry(key, gates.worst(verdicts), [one.as_dict() for one in verdicts]))
    results = {"artefacts": told}
    shop.ledger.done("gates", mark, results, made)
    return results


def passed(shop: Workshop) -> list[Key]:
    """The files that the gates let through, in the order of :data:`converters.artefacts.NAMES`."""
    told = shop.ledger.read("gates")["artefacts"]
    return [(one["runtime"], one["precision"]) for one in told if one["outcome"] != Outcome.REFUSED.value]


def _searched(key: Key, told: dict[str, Any]) -> dict[str, Any]:
    if told["chosen"] is not None:
        verdicts = told["chosen"]["gates"]
        outcomes = {one["outcome"] for one in verdicts}
        worst = Outcome.INCONCLUSIVE if Outcome.INCONCLUSIVE.value in outcomes else Outcome.PASSED
        return _entry(key, worst, verdicts)
    nearest = min(told["tried"], key=lambda one: float(one["moved"]))
    return _entry(key, Outcome.REFUSED, nearest["gates"], str(nearest["refused"]))


def _entry(key: Key, outcome: Outcome, verdicts: list[dict[str, Any]], why: str = "") -> dict[str, Any]:
    refused = [str(one["said"]) for one in verdicts if one["outcome"] == Outcome.REFUSED.value]
    return {
        "runtime": key[0], "precision": key[1], "outcome": outcome.value, "gates": verdicts,
        "why": why or "; ".join(refused),
    }  # fmt: skip


def _float_file(shop: Workshop, key: Key) -> tuple[NDArray[np.float64], float]:
    """A float file's logits over all folds, and its largest difference from PyTorch in a cell of a map."""
    pooled, largest = [], 0.0
    for fold in shop.material.division.folds:
        net, films = steps.final(shop, fold), shop.array(shop.films(fold.held))
        found = artefacts.maps(floats(shop, fold) / NAMES[key], key[0], shop.spec, films)
        aim = eager_maps(net, films)
        largest = max(largest, float(np.abs(found - aim).max()) / max(1.0, float(np.abs(aim).max())))
        pooled.append(artefacts.logits(found, net.first_bias))
    return np.concatenate(pooled), largest


# --- what the steps share -----------------------------------------------------------------------------------------


def floats(shop: Workshop, fold: Fold) -> Path:
    """The folder of a fold's float files; the shipped network's INT8 files stand there too."""
    return shop.work / "artefacts" / fold.name


def present(shop: Workshop) -> list[Key]:
    """The files of the shipped network that could be made."""
    folder = floats(shop, shop.material.division.shipped)
    return [key for key in artefacts.wanted(shop.recipe) if (folder / NAMES[key]).is_file()]


def predictions_path(shop: Workshop, key: Key) -> Path:
    """Where a file's answers over all folds are kept."""
    return shop.work / "predictions" / f"{key[0]}.{key[1]}.npz"


def said(shop: Workshop, fold: Fold, logits: NDArray[np.float64]) -> Predictions:
    """Logits of a fold's held-back films, as predictions."""
    films = shop.films(fold.held).films
    return Predictions(
        tuple(film.name for film in films), np.array([film.label for film in films], dtype=np.int64),
        tuple(film.patient for film in films), logits, tuple(dict(film.traits) for film in films),
    )  # fmt: skip


def with_logits(original: Predictions, logits: NDArray[np.float64]) -> Predictions:
    """Another file's answers on the same films."""
    return Predictions(original.names, original.labels, original.patients, logits, original.traits)


def fold_logits(shop: Workshop, fold: Fold, folder: Path, key: Key, most: int | None = None) -> NDArray[np.float64]:
    """A file's logits on the films held back from its fold, or on the first ``most`` of them."""
    films = shop.array(shop.films(fold.held))[:most]
    bias = steps.final(shop, fold).first_bias
    return artefacts.logits(artefacts.maps(folder / NAMES[key], key[0], shop.spec, films), bias)


def calibration_films(shop: Workshop, fold: Fold) -> NDArray[np.float32]:
    """(N, 1, H, W): films that the fold's network learnt from, for the ranges of INT8 files."""
    order = np.random.default_rng(shop.recipe.seed).permutation(len(fold.train))[: shop.recipe.quantize.films]
    films = shop.array(shop.films([fold.train[int(index)] for index in order]))
    return films[:, np.newaxis].astype(np.float32) / np.float32(255.0)


def eager_maps(net: CamNet, films: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(N, H, W) uint8 → maps (N, C, h, w) in PyTorch."""
    found = fitting.over(net, films, lambda one, seen: one(seen)[0])
    return np.asarray(found, dtype=np.float32)


def eager_nets(shop: Workshop) -> dict[str, CamNet]:
    """The networks whose speed in PyTorch is told beside the files': the shipped one, and a teacher."""
    nets = {"PyTorch": steps.final(shop, shop.material.division.shipped)}
    if shop.recipe.net.teacher is not None:
        nets["PyTorch, teacher"] = steps.teacher(shop, shop.material.division.folds[0])
    return nets


def asked_eagerly(net: CamNet, film: torch.Tensor) -> torch.Tensor:
    """One inference in PyTorch."""
    with torch.no_grad():
        answer: torch.Tensor = net(film)[0]
    return answer


def threshold_logit(shop: Workshop) -> float:
    """The frozen threshold before calibration."""
    told = shop.ledger.read("calibrate")
    return float((odds(told["threshold"]) - told["intercept"]) / told["slope"])


def odds(share: float) -> float:
    """Log odds of a probability, kept away from 0 and 1."""
    kept = min(max(share, 1e-9), 1.0 - 1e-9)
    return math.log(kept / (1.0 - kept))


def sigmoid(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log odds → probabilities."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(values, -60.0, 60.0))), dtype=np.float64)


def machine() -> str:
    """The processor in words, as Linux tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())
