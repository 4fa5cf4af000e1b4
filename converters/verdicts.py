"""The steps after training: calibrate, export, quantize, speed, gate.  All judge films that the judged network has not
seen: each fold's network its own held-back films, pooled.
"""

import math
import platform
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from converters import artefacts, aware, fitting, gates, judging, outlines, quantize, statistics, steps
from converters.artefacts import NAMES, Key
from converters.failures import GateFailed, RecipeInvalid, ToolFailed
from converters.formats import onnx_file
from converters.gates import Outcome, Verdict
from converters.judging import Answers, Judging
from converters.material import labels_of
from converters.nets import CamNet
from converters.predictions import Predictions
from converters.recipe import Recipe
from converters.splits import Fold
from converters.steps import Workshop
from converters.words import PackWords, load_words
from firmware_app.errors import InferenceFailed
from firmware_app.packs.manifest import Calibration, FindingSpec
from firmware_app.runtimes import choice

ORIGINAL: Key = ("pytorch", "fp32")
BROUGHT: Key = ("onnx", "fp32")
"""What :data:`ORIGINAL` is called where it was an ONNX file that the user brought."""

FULL_SCALE_PERCENTILE = 75.0
"""The map is drawn at full strength from this percentile of the strongest cells of positive held-back films."""

SAMPLE_FILMS = 24
"""Films on which the layers' sensitivity is measured."""

ROUNDS = 30
THREADS = 2

Counted = Callable[[NDArray[np.int64], NDArray[np.float64]], float]


def words_of(shop: Workshop) -> PackWords:
    """What people say of the pack."""
    words = load_words(shop.near / shop.recipe.describe)
    if (words.drawn_as == "volume") != (shop.spec.depth is not None):
        raise RecipeInvalid(shop.recipe.describe, 'drawn_as: "volume" is for volumes, and for them alone')
    return words


def calibrate_step(shop: Workshop) -> dict[str, Any]:
    """The trained network's own answers, its calibration (Platt) and its threshold, frozen from here on."""
    recipe = shop.recipe
    mark = shop.ledger.fingerprint(steps.tables(recipe, "cost", "operating_point", "gate"), shop.learnt, shop.digest)
    if (known := shop.ledger.results("calibrate", mark)) is not None:
        return known
    pooled, peaks, told = [], [], []
    for fold in shop.material.division.folds:
        net, films = steps.final(shop, fold), shop.films(fold.held)
        found = eager_maps(net, shop.array(films))
        told.append(judging.answers(found, net.first_bias, net.outlines))
        pooled.append(said(shop, fold, judging.film_logits(told[-1])))
        peaks.append(found[labels_of(films) == 1, 0].reshape(-1, found[0, 0].size).max(axis=1))
    original = pooled[0].joined(pooled[1:])
    kept = original.save(predictions_path(shop, ORIGINAL))
    labels = original.labels
    area = statistics.auc(labels, original.logits) or 0.0
    if area < recipe.gate.auc_at_least:
        raise GateFailed("calibrate", f"out-of-fold AUC {area:.4f} is below the recipe's {recipe.gate.auc_at_least}")
    if recipe.task == "segment":
        slope, intercept = 1.0, 0.0
    else:
        slope, intercept = statistics.platt(labels, original.logits)
    if slope <= 0.0:
        raise GateFailed("calibrate", f"out-of-fold AUC {area:.4f}: a higher logit does not mean the finding")
    share = float(labels.mean())
    if recipe.task == "segment":
        cut = outlines.best_cut(np.concatenate(told), truth_of(shop, told[0].shape[1:]))
        threshold = float(sigmoid(np.array(cut)))
        rule = f"the best mean Dice on {int(labels.sum())} held-back volumes with a lesion"
    else:
        threshold, rule = operating_point(recipe, labels, sigmoid(slope * original.logits + intercept), share)
    whole = steps.final(shop, shop.material.division.shipped)
    results = {
        "slope": round(slope, 6), "intercept": round(intercept, 6), "threshold": round(threshold, 4), "rule": rule,
        "full_scale": round(max(float(np.percentile(np.concatenate(peaks), FULL_SCALE_PERCENTILE)), 1e-3), 3),
        "prevalence": round(share, 4), "bias": round(whole.first_bias, 6), "auc": round(area, 4),
    }  # fmt: skip
    if found[0, 0].size == 1:
        results["one_cell"] = True
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
    lost: dict[Key, str] = {}
    for fold in shop.trained_folds:
        net, ships = steps.final(shop, fold), fold == shop.material.division.shipped
        static, keys = recipe.export.static and ships, artefacts.wanted(recipe)
        made += artefacts.export(net, shop.spec, floats(shop, fold), keys, static=static, refused=lost)
    results: dict[str, Any] = {
        "opset": onnx_file.opset(floats(shop, shop.material.division.shipped) / NAMES[artefacts.SOURCE]),
        "files": {path.name: path.stat().st_size for path in made},
    }
    if lost:
        results["refused"] = [{"runtime": key[0], "precision": key[1], "why": why} for key, why in lost.items()]
    shop.ledger.done("export", mark, results, made)
    return results


def quantize_step(shop: Workshop) -> dict[str, Any]:
    """Search the INT8 file of each runtime over all folds, and make the one that ships in the way that was found."""
    recipe, division = shop.recipe, shop.material.division
    tables = steps.tables(recipe, "quantize", "gate", "export")
    mark = shop.ledger.fingerprint(tables, ("calibrate", "export"), shop.digest)
    if (known := shop.ledger.results("quantize", mark)) is not None:
        return known
    court, lost = court_of(shop), not_made(shop)
    plain = {fold.name: floats(shop, fold) for fold in shop.trained_folds}
    tuned: dict[str, Path] = {}
    found: dict[str, Any] = {}
    made: list[Path] = []
    for key in artefacts.wanted(recipe):
        runtime = key[0]
        if key[1] != "int8" or key in lost:
            continue
        try:
            search, sources = searched(shop, runtime, court, plain), plain
            found[runtime] = search.as_dict()
            if search.chosen is None and recipe.quantize.aware_epochs and not recipe.net.is_foreign:
                tuned = sources = tuned or aware.float_files(shop)
                search = searched(shop, runtime, court, tuned)
                found[runtime] = quantize.joined(found[runtime], search)
            if search.chosen is not None:
                made.append(court.predictions(search.chosen.logits).save(predictions_path(shop, key)))
                made += shipped_int8(shop, runtime, search.chosen, sources[division.shipped.name])
        except (ToolFailed, InferenceFailed) as error:
            found[runtime] = {"chosen": None, "tried": [], "sensitivity": {}, "refused": str(error)}
    for used in ("tries", aware.STAGE):
        shutil.rmtree(shop.work / used, ignore_errors=True)
    if recipe.export.static and ("onnxruntime", "int8") in artefacts.wanted(recipe):
        folder, films = floats(shop, division.shipped), calibration_films(shop, division.shipped)
        made.append(onnx_file.quantize(folder / artefacts.STATIC, folder / artefacts.TENSORRT, films, "minmax",
                                       kind="s8s8"))  # fmt: skip
    shop.ledger.done("quantize", mark, found, made)
    return found


def searched(shop: Workshop, runtime: str, court: Judging, sources: Mapping[str, Path]) -> quantize.Search:
    """Search the INT8 file of one runtime; ``sources`` are the folders of the float files of each fold."""
    folds, key = shop.material.division.folds, (runtime, "int8")
    calibration = [calibration_films(shop, fold) for fold in folds]
    rounded = artefacts.Rounded(runtime, [sources[fold.name] for fold in folds], calibration)
    tries = shop.work / "tries" / runtime
    shutil.rmtree(tries, ignore_errors=True)

    def pooled(folder: Path) -> Answers:
        return np.concatenate([fold_answers(shop, fold, folder / fold.name, key) for fold in folds])

    def sample(folder: Path) -> Answers:
        return fold_answers(shop, folds[0], folder / folds[0].name, key, SAMPLE_FILMS)

    most = shop.recipe.quantize.most_spared
    return quantize.search(rounded, tries, court.answers, pooled, court.verdicts, most, sample)


def shipped_int8(shop: Workshop, runtime: str, chosen: quantize.Candidate, source: Path) -> list[Path]:
    """The INT8 files of the network that ships, made as the chosen one was, from the float files in ``source``."""
    shipped = shop.material.division.shipped
    films = calibration_films(shop, shipped)
    return artefacts.rounded(runtime, source, floats(shop, shipped), films, chosen.method, chosen.spared)


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
    mark = shop.ledger.fingerprint(steps.tables(recipe, "gate"), ("quantize", "maps"), shop.digest)
    if (known := shop.ledger.results("gates", mark)) is not None:
        return known
    court, lost, made, told = court_of(shop), not_made(shop), [], []
    tried, explained = shop.ledger.read("quantize"), explanations(shop)
    for key in artefacts.wanted(recipe):
        if key in lost:
            told.append(_entry(key, Outcome.REFUSED, [], lost[key]))
            continue
        if key[1] == "int8":
            told.append(_searched(key, tried[key[0]], explained.get(key, [])))
            continue
        found, largest = _float_file(shop, key)
        made.append(court.predictions(found).save(predictions_path(shop, key)))
        verdicts = court.verdicts(found)
        verdicts += [one for one in (gates.parity(key[1], largest),) if one is not None]
        verdicts += explained.get(key, [])
        told.append(_entry(key, gates.worst(verdicts), [one.as_dict() for one in verdicts]))
    results = {"artefacts": told}
    shop.ledger.done("gates", mark, results, made)
    return results


def passed(shop: Workshop) -> list[Key]:
    """The files that the gates let through, in the order of :data:`converters.artefacts.NAMES`."""
    told = shop.ledger.read("gates")["artefacts"]
    return [(one["runtime"], one["precision"]) for one in told if one["outcome"] != Outcome.REFUSED.value]


def explanations(shop: Workshop) -> dict[Key, list[Verdict]]:
    """What the gate of the maps says of every file that was compared with Grad-CAM."""
    told = shop.ledger.read("maps")["artefacts"]
    return {
        (one["runtime"], one["precision"]): [gates.explanation(one["every_cell"]["mean"], shop.recipe.gate)]
        for one in told
    }


def _searched(key: Key, told: dict[str, Any], explained: list[Verdict]) -> dict[str, Any]:
    if told["chosen"] is not None:
        verdicts = [*told["chosen"]["gates"], *(one.as_dict() for one in explained)]
        outcomes = {Outcome(one["outcome"]) for one in verdicts}
        return _entry(key, gates.gravest(outcomes), verdicts)
    if not told["tried"]:
        return _entry(key, Outcome.REFUSED, [], str(told["refused"]))
    nearest = min(told["tried"], key=lambda one: float(one["moved"]))
    return _entry(key, Outcome.REFUSED, nearest["gates"], str(nearest["refused"]))


def _entry(key: Key, outcome: Outcome, verdicts: list[dict[str, Any]], why: str = "") -> dict[str, Any]:
    refused = [str(one["said"]) for one in verdicts if one["outcome"] == Outcome.REFUSED.value]
    return {
        "runtime": key[0], "precision": key[1], "outcome": outcome.value, "gates": verdicts,
        "why": why or "; ".join(refused),
    }  # fmt: skip


def _float_file(shop: Workshop, key: Key) -> tuple[Answers, float]:
    """A float file's answers over all folds, and its largest difference from the original in a cell of a map."""
    pooled, largest = [], 0.0
    for fold in shop.material.division.folds:
        net, films = steps.final(shop, fold), shop.array(shop.films(fold.held))
        found = artefacts.maps(floats(shop, fold) / NAMES[key], key[0], shop.spec, films)
        aim = eager_maps(net, films)
        largest = max(largest, float(np.abs(found - aim).max()) / max(1.0, float(np.abs(aim).max())))
        pooled.append(judging.answers(found, net.first_bias, net.outlines))
    return np.concatenate(pooled), largest


def court_of(shop: Workshop) -> Judging:
    """The original's answers on the held-back films, and how other files are judged beside them."""
    original, gate = Predictions.load(predictions_path(shop, ORIGINAL)), shop.recipe.gate
    if shop.recipe.task != "segment":
        return Judging(original, original.logits, threshold_logit(shop), gate)
    nets = [(steps.final(shop, fold), shop.array(shop.films(fold.held))) for fold in shop.material.division.folds]
    cells = np.concatenate([judging.answers(eager_maps(net, films), net.first_bias, True) for net, films in nets])
    return Judging(original, cells, threshold_logit(shop), gate, truth_of(shop, cells.shape[1:]))


def truth_of(shop: Workshop, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """The held-back films' masks at a map's grid, in the order of their predictions."""
    held = (shop.films(fold.held) for fold in shop.material.division.folds)
    return np.concatenate([outlines.truths(films, shape) for films in held])


def not_made(shop: Workshop) -> dict[Key, str]:
    """The files that a library could not make, and why."""
    told = shop.ledger.read("export").get("refused", ())
    return {(one["runtime"], one["precision"]): str(one["why"]) for one in told}


# --- what the steps share -----------------------------------------------------------------------------------------


def floats(shop: Workshop, fold: Fold) -> Path:
    """The folder of a fold's float files; the shipped network's INT8 files stand there too."""
    return shop.work / "artefacts" / fold.name


def present(shop: Workshop) -> list[Key]:
    """The files of the shipped network that could be made; an INT8 one of an earlier search is not."""
    folder, searched = floats(shop, shop.material.division.shipped), shop.ledger.read("quantize")
    lost = {("int8", runtime) for runtime, told in searched.items() if told["chosen"] is None}
    made = [key for key in artefacts.wanted(shop.recipe) if (folder / NAMES[key]).is_file()]
    return [(runtime, precision) for runtime, precision in made if (precision, runtime) not in lost]


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


def fold_answers(shop: Workshop, fold: Fold, folder: Path, key: Key, most: int | None = None) -> Answers:
    """A file's answers on the films held back from its fold, or on the first ``most`` of them."""
    films, net = shop.array(shop.films(fold.held))[:most], steps.final(shop, fold)
    found = artefacts.maps(folder / NAMES[key], key[0], shop.spec, films)
    return judging.answers(found, net.first_bias, net.outlines)


def calibration_films(shop: Workshop, fold: Fold) -> NDArray[np.float32]:
    """(N, 1, H, W): films that the fold's network learnt from, for the ranges of INT8 files."""
    films = shop.array(shop.films(calibration_names(shop, fold)))
    return films[:, np.newaxis].astype(np.float32) / np.float32(255.0)


def calibration_names(shop: Workshop, fold: Fold) -> list[str]:
    """The names of :func:`calibration_films`."""
    order = np.random.default_rng(shop.recipe.seed).permutation(len(fold.train))[: shop.recipe.quantize.films]
    return [fold.train[int(index)] for index in order]


def eager_maps(net: CamNet, films: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(N, H, W) uint8 → maps (N, C, h, w) in PyTorch."""
    found = fitting.over(net, films, lambda one, seen: one(seen)[0])
    return np.asarray(found, dtype=np.float32)


def eager_nets(shop: Workshop) -> dict[str, CamNet]:
    """The networks whose speed in PyTorch is told beside the files': the shipped one, and a teacher."""
    nets = {"PyTorch": steps.final(shop, shop.material.division.shipped)}
    if shop.recipe.net.onnx is not None:
        return {}
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
