"""The manifest of a pack, from the results of the steps: everything but golden cases and measurements."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from shutil import copyfile
from typing import Any

from converters.data.recipe_data import Material, labels_of
from converters.evaluation import gate_step, operating_point
from converters.formats import artefacts, model_files, onnx_file
from converters.formats.artefacts import NAMES, Key
from converters.packing.words import Source
from converters.tasks.interface import FEATURES
from converters.training import steps
from converters.training.steps import Workshop
from firmware_app.packs.manifest import Artefact, Companion, Manifest, TypicalityFile, sha256_of
from firmware_app.packs.proof import DataSource, GateVerdict, MapAgreement, Pointing, Refused, Speed
from firmware_app.tasks.typicality import FILE_NAME

UNMEASURED = 1.0


def described(shop: Workshop, folder: Path) -> Manifest:
    """Copy the model files that the gates let through into ``folder``; returns the manifest of what ships."""
    words, point, material = operating_point.words_of(shop), shop.ledger.read("calibrate"), shop.material
    keys, judged, mapped = gate_step.passed(shop), shop.ledger.read("gates")["artefacts"], shop.ledger.read("maps")
    made = model_files.floats(shop, material.division.shipped)
    files = (*(described_file(made / NAMES[key], key, folder) for key in keys), *extra_files(shop, made, folder))
    outputs = steps.final(shop, material.division.shipped).outputs
    features = FEATURES if FEATURES in outputs else None
    weak = (*words.weak_points, *shop.task.weak_points(point))
    return Manifest.of_task(shop.recipe.task)(
        schema="lantern.pack/1", name=shop.recipe.pack, version=shop.recipe.version, title=words.title,
        task=shop.recipe.task, route=words.route, input=shop.spec,
        output=shop.task.output(point, features),
        findings=operating_point.findings_of(shop),
        training_prevalence=round(float(labels_of(material.part("train")).mean()), 4),
        calibration_prevalence=point["prevalence"], artefacts=files,
        data=(*(counted(source, material) for source in words.data), *fed_back(material)), measured=(),
        intended_use=words.intended_use, not_for=words.not_for, weak_points=weak, quality=words.quality,
        gates=tuple(_verdict(one) for one in judged if one["outcome"] != "refused"),
        refused=tuple(_refusal(one) for one in judged if one["outcome"] == "refused"), speed=tuple(_speeds(shop)),
        maps=tuple(agreed(one) for one in mapped["artefacts"] if (one["runtime"], one["precision"]) in keys),
        pointing=Pointing.model_validate(mapped["pointing"]) if mapped.get("pointing") else None,
        typicality=typical_file(shop, folder),
    )  # fmt: skip


def described_file(source: Path, key: Key, folder: Path) -> Artefact:
    """Copy a model file and its companion files into ``folder``; returns its entry."""
    for path in artefacts.files_of(source):
        copyfile(path, folder / path.name)
    return entry(folder / source.name, key, source.parent)


def entry(path: Path, key: Key, made: Path) -> Artefact:
    """The manifest's entry of a model file that was made of the float files in ``made``."""
    return Artefact.model_validate({
        "path": path.name, "runtime": key[0], "precision": key[1], "sha256": sha256_of(path),
        "bytes": path.stat().st_size, "opset": onnx_file.opset(path) if path.suffix == ".onnx" else None,
        "batch": 1 if path.suffix == ".tflite" or one_at_a_time(made) else "dynamic",
        "golden_tolerance": UNMEASURED,
        "files": [
            Companion(path=one.name, sha256=sha256_of(one), bytes=one.stat().st_size)
            for one in artefacts.files_of(path)[1:]
        ],
    })  # fmt: skip


def one_at_a_time(made: Path) -> bool:
    """Whether the network takes one film only: an ONNX file that was brought may have a batch of its own."""
    return onnx_file.batch(made / NAMES[artefacts.SOURCE]) == 1


def typical_file(shop: Workshop, folder: Path) -> TypicalityFile | None:
    """Copy the model of the training films, if there is one; returns its entry, with the limits of what ships."""
    fit, keys = shop.ledger.read("typicality"), gate_step.passed(shop)
    limits = [one for one in fit["limits"] if (one["runtime"], one["precision"]) in keys]
    if not limits:
        return None
    path = Path(copyfile(shop.work / FILE_NAME, folder / FILE_NAME))
    return TypicalityFile.model_validate({
        "path": path.name, "sha256": sha256_of(path), "bytes": path.stat().st_size, "passes": fit["passes"],
        "films": fit["films"], "varied": fit.get("varied", False), "unseen": fit.get("unseen"), "limits": limits,
    })  # fmt: skip


def extra_files(shop: Workshop, made: Path, folder: Path) -> Iterable[Artefact]:
    """The static float file for an NPU, and the signed one for TensorRT, where the recipe asks and the gates allow."""
    for key in gate_step.passed_extras(shop):
        runtime = key[0] if key[1] == "int8" else artefacts.asked_in(key[0])
        file = described_file(made / artefacts.EXTRAS[key], (runtime, key[1]), folder)
        yield file.model_copy(update={"batch": 1, "golden_tolerance": None})


def counted(source: Source, material: Material) -> DataSource:
    """A data source with its numbers; those of the recipe's own data are counted here."""
    films = [film for film in material.films.films if film.name not in material.feedback]
    numbers = (len(films), len({film.patient for film in films}))
    n_images, n_patients = numbers if source.counted else (source.n_images, source.n_patients)
    return DataSource(
        name=source.name, licence=source.licence, citation=source.citation, use=source.use,
        n_images=n_images, n_patients=n_patients,
    )  # fmt: skip


def fed_back(material: Material) -> Iterable[DataSource]:
    """What came back from clinics, as a data source, where something did."""
    films = [film for film in material.films.films if film.name in material.feedback]
    if films:
        yield DataSource(
            name="feedback of clinics", licence="not published", citation="docs/feedback-export.md",
            use="learnt from; judges nothing", n_images=len(films), n_patients=len({film.patient for film in films}),
        )  # fmt: skip


def _verdict(entry: dict[str, Any]) -> GateVerdict:
    said = "; ".join(str(one["said"]) for one in entry["gates"])
    return GateVerdict(runtime=entry["runtime"], precision=entry["precision"], outcome=entry["outcome"], said=said)


def _refusal(entry: dict[str, Any]) -> Refused:
    return Refused(runtime=entry["runtime"], precision=entry["precision"], why=entry["why"])


def agreed(entry: Mapping[str, Any]) -> MapAgreement:
    """How the map of a file agrees, from an entry of the step ``maps``."""
    every, evidence = entry["every_cell"], entry["evidence"]
    return MapAgreement(
        runtime=entry["runtime"], precision=entry["precision"], n=every["n"], mean=every["mean"],
        median=every["median"], low=every["low"], least=every["least"], evidence=evidence["mean"],
        evidence_n=evidence["n"],
    )  # fmt: skip


def _speeds(shop: Workshop) -> list[Speed]:
    account = shop.ledger.read("speed")
    return [
        Speed(
            runtime=one["runtime"] if one["name"] in NAMES.values() else one["name"], precision=one["precision"],
            milliseconds=one["milliseconds"], low=one["low"], high=one["high"], threads=account["threads"],
            machine=account["machine"],
        )
        for one in account["rows"]
    ]  # fmt: skip
