"""From model files to a pack: calibrate, choose the threshold, draw golden cases, measure once on the test part.

Nothing here looks at a test film before the manifest's threshold and calibration are written.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfile

import numpy as np

from converters import card, golden, statistics
from converters.datasets import FilmSet
from converters.evaluate import Evaluation, evaluate, where
from converters.failures import GateFailed
from converters.material import Material, input_spec, labels_of, open_material
from converters.progress import Progress
from converters.recipe import Recipe
from converters.words import PackWords, Source
from firmware_app.imaging.model_input import to_model_input
from firmware_app.packs.manifest import (
    Artefact,
    Calibration,
    DataSource,
    FindingSpec,
    Manifest,
    Measured,
    Output,
    Precision,
    sha256_of,
)
from firmware_app.packs.shelf import Pack
from firmware_app.runtimes import choice

PRECISIONS: tuple[Precision, ...] = ("fp32", "int8")
FULL_SCALE_PERCENTILE = 75.0
"""The map is drawn at full strength from this percentile of the strongest cells of positive validation films."""

EVALUATE = (
    "lantern-convert evaluate models/{pack} --data DATA --split {split} --runtime {runtime} --precision {precision}"
)


@dataclass(frozen=True, slots=True)
class Fitted:
    """What validation films decide: calibration, threshold, and the map's full scale in logits."""

    calibration: Calibration
    threshold: float
    rule: str
    full_scale: float


def assemble(recipe: Recipe, words: PackWords, data: Path, work: Path, out: Path) -> Pack:
    """Make ``out/<pack>`` from the model files in ``work/<pack>`` and return it, measured and with its card."""
    made = json.loads((work / recipe.pack / "export.json").read_text(encoding="utf-8"))
    material = open_material(recipe, data)
    folder = out / recipe.pack
    folder.mkdir(parents=True, exist_ok=True)
    for precision in PRECISIONS:
        copyfile(work / recipe.pack / f"model.{precision}.onnx", folder / f"model.{precision}.onnx")
    fitted = fit_decision(recipe, folder / "model.fp32.onnx", material.part("val"), float(made["bias"]))
    manifest = described(recipe, words, material, folder, fitted, float(made["bias"]), int(made["opset"]))
    golden.write_manifest(folder, manifest)
    train = material.part("train")
    groups = [material.group_of[film.name] for film in train.films]
    cases = golden.make(Pack.load(folder), train, groups, words.drawn_as, recipe.seed)
    manifest = manifest.model_copy(update={"golden": (*cases, *golden.refer(words.references))})
    golden.write_manifest(folder, manifest)
    measured = tuple(measure(Pack.load(folder), material.part("val"), material.part("test")))
    manifest = manifest.model_copy(update={"measured": measured})
    golden.write_manifest(folder, manifest)
    card.write(folder)
    pack = Pack.load(folder)
    pack.verify()
    return pack


def fit_decision(recipe: Recipe, model: Path, val: FilmSet, bias: float) -> Fitted:
    """Calibrate (Platt) and choose the threshold by the recipe's rule, on validation films, with the float model."""
    spec = input_spec(recipe)
    session = choice.get(choice.DEFAULT).load(model)
    maps = [session.infer({spec.name: to_model_input(film.read(), spec)})["map"][0, 0] for film in val.films]
    logits = np.array([float(one.mean(dtype=np.float64)) + bias for one in maps])
    labels = labels_of(val)
    area = statistics.auc(labels, logits) or 0.0
    if area < recipe.gate.val_auc_at_least:
        raise GateFailed("validation", f"AUC {area:.4f} is below the recipe's {recipe.gate.val_auc_at_least}")
    slope, intercept = statistics.platt(labels, logits)
    scores = 1.0 / (1.0 + np.exp(-(slope * logits + intercept)))
    point = recipe.operating_point
    if point.rule == "sensitivity":
        threshold = statistics.threshold_for_sensitivity(labels, scores, point.at_least)
        rule = f"the highest threshold with sensitivity of at least {point.at_least} on {len(labels)} validation films"
    else:
        threshold = statistics.threshold_for_cost(labels, scores, point.miss_cost)
        rule = f"least cost on {len(labels)} validation films, a miss costing {point.miss_cost:g} false alarms"
    peaks = np.array([float(one.max()) for one, label in zip(maps, labels, strict=True) if label == 1])
    full_scale = float(np.percentile(np.maximum(peaks, 0.0), FULL_SCALE_PERCENTILE))
    return Fitted(
        Calibration(kind="platt", slope=round(slope, 6), intercept=round(intercept, 6)),
        round(threshold, 4), rule, round(max(full_scale, 1e-3), 3),
    )  # fmt: skip


def described(
    recipe: Recipe, words: PackWords, material: Material, folder: Path, fitted: Fitted, bias: float, opset: int
) -> Manifest:
    """The manifest, still without golden cases and measurements."""
    finding = FindingSpec(
        code=words.finding.code, label=words.finding.label, channel=0, bias=bias, calibration=fitted.calibration,
        threshold=fitted.threshold, threshold_rule=fitted.rule, priority=words.finding.priority,
    )  # fmt: skip
    artefacts = tuple(
        Artefact(path=path.name, runtime="onnxruntime", precision=precision, sha256=sha256_of(path),
                 bytes=path.stat().st_size, opset=opset)
        for precision in PRECISIONS
        for path in (folder / f"model.{precision}.onnx",)
    )  # fmt: skip
    return Manifest(
        schema="lantern.pack/1", name=recipe.pack, version=recipe.version, title=words.title, task="classify",
        route=words.route, input=input_spec(recipe), output=Output(map="map", full_scale=fitted.full_scale),
        findings=(finding,), training_prevalence=round(float(labels_of(material.part("train")).mean()), 4),
        artefacts=artefacts, data=tuple(counted(source, material) for source in words.data), measured=(),
        intended_use=words.intended_use, not_for=words.not_for, weak_points=words.weak_points,
    )  # fmt: skip


def counted(source: Source, material: Material) -> DataSource:
    """A data source with its numbers; those of the recipe's own data are counted here."""
    films = material.films.films
    numbers = (len(films), len({film.patient for film in films}))
    n_images, n_patients = numbers if source.counted else (source.n_images, source.n_patients)
    return DataSource(
        name=source.name, licence=source.licence, citation=source.citation, use=source.use,
        n_images=n_images, n_patients=n_patients,
    )  # fmt: skip


def measure(pack: Pack, val: FilmSet, test: FilmSet) -> list[Measured]:
    """The test part, once per artefact and runtime, and the float model once per value of each trait that films have.

    The validation part comes last, for comparison: it chose the threshold, so it flatters there.
    """
    rows: list[Measured] = []
    for precision in PRECISIONS:
        for runtime in choice.available():
            rows.append(_row(pack, test, "test", runtime, precision, ""))
    for name, value in sorted({trait for film in test.films for trait in film.traits}):
        condition = f"{name}={value}"
        part = where(test, condition)
        rows.append(_row(pack, part, f"test[{condition}]", choice.DEFAULT, "fp32", f" --where {condition}"))
    return [*rows, _row(pack, val, "val", choice.DEFAULT, "fp32", "")]


def _row(pack: Pack, films: FilmSet, split: str, runtime: str, precision: Precision, option: str) -> Measured:
    progress = Progress(f"{pack.name} {precision} {runtime}", len(films.films))
    result = evaluate(pack, films, split, runtime, precision, progress.at)
    print(json.dumps(result.as_dict()), file=sys.stderr, flush=True)
    part = split.partition("[")[0]
    command = EVALUATE.format(pack=pack.name, split=part, runtime=runtime, precision=precision) + option
    return measured(result, precision, command)


def measured(result: Evaluation, precision: Precision, command: str) -> Measured:
    """A result as a row of the manifest, numbers to four places."""
    row = result.as_dict()
    for other in ("pack", "dice", "lesion_sensitivity", "false_positives_per_image"):
        del row[other]
    return Measured.model_validate({**row, "precision": precision, "command": f"{command} --json"})
