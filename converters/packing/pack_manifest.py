"""The manifest of a pack, from the results of the steps: everything but golden cases and measurements."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from shutil import copyfile
from typing import Any

from converters.data.recipe_data import RecipeData, labels_of
from converters.evaluation import gate_step, operating_point
from converters.failures import RecipeInvalid
from converters.formats import artefacts, model_files, onnx_file
from converters.formats.artefacts import NAMES, Key
from converters.packing import licences
from converters.packing.words import PackWords, Source
from converters.tasks.interface import FEATURES
from converters.training import steps, train
from converters.training.steps import RecipeRun
from firmware_app.packs.evidence import (
    DataSource,
    GateVerdict,
    InferenceSpeed,
    MapAgreement,
    PointingAccuracy,
    ReferenceAgreement,
    RefusedArtefact,
)
from firmware_app.packs.manifest import MANIFEST_FILE, Artefact, CompanionFile, Manifest, TypicalityFile, file_sha256
from firmware_app.packs.typicality import TYPICALITY_FILE as TYPICALITY

UNMEASURED = 1.0


def describe(run: RecipeRun, folder: Path) -> Manifest:
    """Copy the model files that the gates let through into ``folder``; returns the manifest of what ships."""
    words, point, dataset = operating_point.load_pack_words(run), run.ledger.read("calibrate"), run.dataset
    keys, judged, mapped = gate_step.list_passed(run), run.ledger.read("gates")["artefacts"], run.ledger.read("maps")
    made = model_files.floats(run, dataset.division.shipped)
    learnt = dataset.films.only(dataset.select_finding(dataset.division.shipped.train))
    files = (*(describe_file(made / NAMES[key], key, folder) for key in keys), *extra_files(run, made, folder))
    outputs = steps.load_final(run, dataset.division.shipped).outputs
    features = FEATURES if FEATURES in outputs else None
    weak = (*words.weak_points, *run.task.weak_points(point))
    return Manifest.for_task(run.recipe.task)(
        schema="lantern.pack/1",
        name=run.recipe.pack,
        version=run.recipe.version,
        title=words.title,
        task=run.recipe.task,
        route=words.route,
        input=run.spec,
        output=run.task.output(point, features),
        findings=operating_point.findings_of(run),
        training_prevalence=round(float(labels_of(learnt).mean()), 4),
        calibration_prevalence=point["prevalence"],
        artefacts=files,
        data=(*(count(source, dataset) for source in words.data), *list_fed_back(dataset)),
        measured=(),
        intended_use=words.intended_use,
        not_for=words.not_for,
        not_looked_for=words.not_looked_for,
        weak_points=weak,
        quality=words.quality,
        follow_up=words.follow_up,
        hardware=words.hardware,
        weights_licence=licence_of(run, words),
        gates=tuple(_verdict(one) for one in judged if one["outcome"] != "refused"),
        refused=tuple(_refusal(one) for one in judged if one["outcome"] == "refused"),
        speed=tuple(_speeds(run)),
        maps=tuple(measure_agreement(one) for one in mapped["artefacts"] if (one["runtime"], one["precision"]) in keys),
        pointing=PointingAccuracy.model_validate(mapped["pointing"]) if mapped.get("pointing") else None,
        reference=ReferenceAgreement.model_validate(point["reference"]) if "reference" in point else None,
        typicality=typical_file(run, folder),
        abstain=point.get("abstain"),
    )


def licence_of(run: RecipeRun, words: PackWords) -> str | None:
    """The licence of the weights: data sets, and what the network began from, allow no freer one.

    Raises :class:`~converters.failures.RecipeInvalid` where the words say a freer one.
    """
    sources = [(source.name, source.licence) for source in words.data] + list(_began_from(run))
    try:
        return licences.find_weights_licence(words.weights_licence, sources, brought=run.recipe.net.is_foreign)
    except ValueError as error:
        raise RecipeInvalid(run.recipe.describe, str(error)) from error


def _began_from(run: RecipeRun) -> Iterable[tuple[str, str]]:
    """The pack, or the sources of the pre-training, that the student began from, each with its licence."""
    start = "" if run.recipe.distill is None else run.recipe.distill.start
    if start.startswith(train.OTHER_PACK):
        name = start.removeprefix(train.OTHER_PACK)
        yield name, str(_read_labels(run.work.parents[1] / name / MANIFEST_FILE).get("weights_licence") or "")
    elif start.startswith(train.PRETRAINED):
        for source in _read_labels((run.near / start.removeprefix(train.PRETRAINED)).with_suffix(".json")).get(
            "sources", ()
        ):
            yield source["name"], source["licence"]


def _read_labels(path: Path) -> dict[str, Any]:
    """What a JSON file tells; nothing where there is none."""
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def describe_file(source: Path, key: Key, folder: Path) -> Artefact:
    """Copy a model file and its companion files into ``folder``; returns its entry."""
    for path in artefacts.files_of(source):
        copyfile(path, folder / path.name)
    return entry(folder / source.name, key, source.parent)


def entry(path: Path, key: Key, made: Path) -> Artefact:
    """The manifest's entry of a model file that was made of the float files in ``made``."""
    return Artefact.model_validate(
        {
            "path": path.name,
            "runtime": key[0],
            "precision": key[1],
            "sha256": file_sha256(path),
            "bytes": path.stat().st_size,
            "opset": onnx_file.opset(path) if path.suffix == ".onnx" else None,
            "batch": 1 if path.suffix == ".tflite" or one_at_a_time(made) else "dynamic",
            "golden_tolerance": UNMEASURED,
            "files": [
                CompanionFile(path=one.name, sha256=file_sha256(one), bytes=one.stat().st_size)
                for one in artefacts.files_of(path)[1:]
            ],
        }
    )


def one_at_a_time(made: Path) -> bool:
    """Whether the network takes one film only: an ONNX file that was brought may have a batch of its own."""
    return onnx_file.batch(made / NAMES[artefacts.SOURCE]) == 1


def typical_file(run: RecipeRun, folder: Path) -> TypicalityFile | None:
    """Copy the model of the training films, if there is one; returns its entry, with the limits of what ships."""
    fit, keys = run.ledger.read("typicality"), gate_step.list_passed(run)
    limits = [one for one in fit["limits"] if (one["runtime"], one["precision"]) in keys]
    if not limits:
        return None
    path = Path(copyfile(run.work / TYPICALITY, folder / TYPICALITY))
    return TypicalityFile.model_validate(
        {
            "path": path.name,
            "sha256": file_sha256(path),
            "bytes": path.stat().st_size,
            "passes": fit["passes"],
            "films": fit["films"],
            "varied": fit.get("varied", False),
            "unseen": fit.get("unseen"),
            "limits": limits,
        }
    )


def extra_files(run: RecipeRun, made: Path, folder: Path) -> Iterable[Artefact]:
    """The files for an NPU and for TensorRT, where the recipe asks and the gates allow; a float one is plain ONNX."""
    for key in gate_step.list_passed_extras(run):
        runtime = key[0] if key[1] == "int8" else artefacts.SOURCE[0]
        file = describe_file(made / artefacts.EXTRAS[key], (runtime, key[1]), folder)
        yield file.model_copy(update={"batch": 1, "golden_tolerance": None})


def count(source: Source, dataset: RecipeData) -> DataSource:
    """A data source with its numbers; those of the recipe's own data are counted here."""
    films = [film for film in dataset.films.films if film.name not in dataset.feedback]
    numbers = (len(films), len({film.patient for film in films}))
    n_images, n_patients = numbers if source.counted else (source.n_images, source.n_patients)
    return DataSource(
        name=source.name,
        licence=source.licence,
        citation=source.citation,
        use=source.use,
        n_images=n_images,
        n_patients=n_patients,
    )


def list_fed_back(dataset: RecipeData) -> Iterable[DataSource]:
    """What came back from clinics, as a data source, where something did."""
    films = [film for film in dataset.films.films if film.name in dataset.feedback]
    if films:
        yield DataSource(
            name="feedback of clinics",
            licence="not published",
            citation="docs/feedback-export.md",
            use="learnt from; judges nothing",
            n_images=len(films),
            n_patients=len({film.patient for film in films}),
        )


def _verdict(entry: dict[str, Any]) -> GateVerdict:
    said = "; ".join(str(one["said"]) for one in entry["gates"])
    return GateVerdict(runtime=entry["runtime"], precision=entry["precision"], outcome=entry["outcome"], said=said)


def _refusal(entry: dict[str, Any]) -> RefusedArtefact:
    return RefusedArtefact(runtime=entry["runtime"], precision=entry["precision"], why=entry["why"])


def measure_agreement(entry: Mapping[str, Any]) -> MapAgreement:
    """How the map of a file agrees, from an entry of the step ``maps``."""
    every, evidence = entry["every_cell"], entry["evidence"]
    return MapAgreement(
        runtime=entry["runtime"],
        precision=entry["precision"],
        n=every["n"],
        mean=every["mean"],
        median=every["median"],
        low=every["low"],
        least=every["least"],
        evidence=evidence["mean"],
        evidence_n=evidence["n"],
    )


def _speeds(run: RecipeRun) -> list[InferenceSpeed]:
    account = run.ledger.read("speed")
    return [
        InferenceSpeed(
            runtime=one["runtime"] if one["name"] in NAMES.values() else one["name"],
            precision=one["precision"],
            milliseconds=one["milliseconds"],
            low=one["low"],
            high=one["high"],
            threads=account["threads"],
            machine=account["machine"],
        )
        for one in account["rows"]
    ]
