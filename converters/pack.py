"""From model files to a pack: describe, draw golden cases, measure once on the test part, and bring the proof along.

Nothing here looks at a test film before the manifest's threshold and calibration are written. The pack takes its name
when it is whole.
"""

import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfile
from typing import Any

from converters import artefacts, card, golden, leave_out, report, sbom, steps, verdicts
from converters.artefacts import NAMES, Key
from converters.datasets import FilmSet
from converters.evaluate import evaluate, where
from converters.evaluation import Evaluation, evaluation
from converters.failures import GateFailed, OutputUnwritable
from converters.formats import onnx_file
from converters.material import Material, labels_of
from converters.predictions import Predictions
from converters.progress import Progress
from converters.steps import Workshop
from converters.words import Source
from firmware_app.errors import PackError
from firmware_app.packs.manifest import (
    Artefact,
    Companion,
    DataSource,
    Manifest,
    MapAgreement,
    Measured,
    Output,
    Pointing,
    Refused,
    Speed,
    TypicalityFile,
    Verdict,
    Words,
    sha256_of,
)
from firmware_app.packs.shelf import Pack
from firmware_app.runtimes import choice
from firmware_app.tasks.typicality import FILE_NAME

REPORT = "report.html"
SUMS = "SHA256SUMS"
EVALUATE = (
    "lantern-convert evaluate models/{pack} --data DATA --split {split} --runtime {runtime} --precision {precision}"
)
BY_RUN = "lantern-convert run converters/recipes/{pack}.toml --data DATA --out OUT"
UNMEASURED = 1.0
NO_MAP = Words(
    en="It does not show where: the network gives a number without a map, so no heat map is drawn.",
    zh="不显示位置：该网络只给出数值而没有热力图，因此不绘制热力图。",
)


@dataclass(frozen=True, slots=True)
class Maker:
    """One pack in the making, in ``folder``."""

    shop: Workshop
    folder: Path

    def keep(self, manifest: Manifest) -> Pack:
        """Write the manifest and read the pack back, as the box will."""
        golden.write_manifest(self.folder, manifest)
        return Pack.load(self.folder)


def pack_step(shop: Workshop, out: Path) -> dict[str, Any]:
    """Make ``out/<pack>``, measured and with its card, report and bill of materials."""
    name = shop.recipe.pack
    before = ("gates", "speed", "typicality", "report")
    mark = shop.ledger.fingerprint({"describe": _words_digest(shop)}, before, shop.digest)
    known = shop.ledger.results("pack", mark)
    if known is not None and _whole(out / name):
        return known
    parts = out / ".making"
    try:
        shutil.rmtree(parts, ignore_errors=True)
        maker = Maker(shop, parts / name)
        maker.folder.mkdir(parents=True)
        results = assemble(maker)
        shutil.rmtree(out / name, ignore_errors=True)
        maker.folder.rename(out / name)
    except OSError as error:
        raise OutputUnwritable(str(out / name), error.strerror or str(error)) from error
    finally:
        shutil.rmtree(parts, ignore_errors=True)
    shop.ledger.done("pack", mark, results, [])
    return results


def assemble(maker: Maker) -> dict[str, Any]:
    """Fill the folder: files, manifest, golden cases, measurements, card, report, bill, sums."""
    shop, folder = maker.shop, maker.folder
    report_step(shop)
    keys = verdicts.passed(shop)
    if artefacts.SOURCE not in keys:
        why = next(one["why"] for one in shop.ledger.read("gates")["artefacts"]
                   if (one["runtime"], one["precision"]) == artefacts.SOURCE)  # fmt: skip
        raise GateFailed("pack", f"the float ONNX file itself was refused: {why}")
    made = verdicts.floats(shop, shop.material.division.shipped)
    files = [described_file(made / NAMES[key], key, folder) for key in keys]
    files += extra_files(made, keys, folder)
    pack = maker.keep(described(maker, tuple(files)).model_copy(update={"typicality": typical_file(maker)}))
    train, words = shop.material.part("train"), verdicts.words_of(shop)
    groups = [shop.material.group_of[film.name] for film in train.films]
    cases = golden.make(pack, train, groups, words.drawn_as, shop.recipe.seed)
    pack = maker.keep(pack.manifest.model_copy(update={"golden": (*cases, *golden.refer(words.references))}))
    room = golden.tolerances(pack)
    told = tuple(one.model_copy(update={"golden_tolerance": room.get(one.path)}) for one in pack.manifest.artefacts)
    pack = maker.keep(pack.manifest.model_copy(update={"artefacts": told}))
    wrong = golden.check(pack)
    if wrong:
        raise GateFailed("golden", wrong[0])
    pack = maker.keep(pack.manifest.model_copy(update={"measured": tuple(measure(maker, pack, keys))}))
    card.write(folder)
    copyfile(shop.work / REPORT, folder / REPORT)
    sbom.write(folder / sbom.NAME)
    pack.verify()
    sums(folder)
    return {"files": [one.path for one in told], "tolerance": room}


def described_file(source: Path, key: Key, folder: Path) -> Artefact:
    """Copy a model file, and what stands beside it, into ``folder``; returns its entry."""
    for path in artefacts.files_of(source):
        copyfile(path, folder / path.name)
    path = folder / source.name
    return Artefact.model_validate({
        "path": path.name, "runtime": key[0], "precision": key[1], "sha256": sha256_of(path),
        "bytes": path.stat().st_size, "opset": onnx_file.opset(path) if path.suffix == ".onnx" else None,
        "batch": 1 if key[0] == "litert" or one_at_a_time(source.parent) else "dynamic",
        "golden_tolerance": UNMEASURED,
        "files": [
            Companion(path=one.name, sha256=sha256_of(one), bytes=one.stat().st_size)
            for one in artefacts.files_of(path)[1:]
        ],
    })  # fmt: skip


def one_at_a_time(made: Path) -> bool:
    """Whether the network takes one film only: an ONNX file that was brought may have a batch of its own."""
    return onnx_file.batch(made / NAMES[artefacts.SOURCE]) == 1


def typical_file(maker: Maker) -> TypicalityFile | None:
    """Copy the model of the training films, if there is one; returns its entry, with the limits of what ships."""
    told, keys = maker.shop.ledger.read("typicality"), verdicts.passed(maker.shop)
    limits = [one for one in told["limits"] if (one["runtime"], one["precision"]) in keys]
    if not limits:
        return None
    path = Path(copyfile(maker.shop.work / FILE_NAME, maker.folder / FILE_NAME))
    return TypicalityFile.model_validate({
        "path": path.name, "sha256": sha256_of(path), "bytes": path.stat().st_size, "passes": told["passes"],
        "films": told["films"], "limits": limits,
    })  # fmt: skip


def extra_files(made: Path, keys: list[Key], folder: Path) -> list[Artefact]:
    """The static float file for an NPU, and the signed one for TensorRT, where they were made."""
    wanted = ((artefacts.STATIC, ("onnxruntime", "fp32")), (artefacts.TENSORRT, ("tensorrt", "int8")))
    return [
        described_file(made / name, key, folder).model_copy(update={"batch": 1, "golden_tolerance": None})
        for name, key in wanted
        if (made / name).is_file() and (key in keys or key[0] == "tensorrt")
    ]


def described(maker: Maker, files: tuple[Artefact, ...]) -> Manifest:
    """The manifest, still without golden cases and measurements."""
    shop = maker.shop
    words, told, material = verdicts.words_of(shop), shop.ledger.read("calibrate"), shop.material
    keys = verdicts.passed(shop)
    judged, mapped = shop.ledger.read("gates")["artefacts"], shop.ledger.read("maps")
    outputs = steps.final(shop, material.division.shipped).outputs
    features = artefacts.OUTPUTS[1] if artefacts.OUTPUTS[1] in outputs else None
    weak = (*words.weak_points, *([NO_MAP] if told.get("one_cell") else []))
    return Manifest(
        schema="lantern.pack/1", name=shop.recipe.pack, version=shop.recipe.version, title=words.title,
        task=shop.recipe.task, route=words.route, input=shop.spec,
        output=Output(map=artefacts.OUTPUTS[0], features=features, full_scale=told["full_scale"]),
        findings=(verdicts.finding_of(shop),),
        training_prevalence=round(float(labels_of(material.part("train")).mean()), 4),
        calibration_prevalence=told["prevalence"], artefacts=files,
        data=(*(counted(source, material) for source in words.data), *fed_back(material)), measured=(),
        intended_use=words.intended_use, not_for=words.not_for, weak_points=weak,
        gates=tuple(_verdict(one) for one in judged if one["outcome"] != "refused"),
        refused=tuple(_refusal(one) for one in judged if one["outcome"] == "refused"), speed=tuple(_speeds(shop)),
        maps=tuple(_agreed(one) for one in mapped["artefacts"] if (one["runtime"], one["precision"]) in keys),
        pointing=Pointing.model_validate(mapped["pointing"]) if mapped.get("pointing") else None,
    )  # fmt: skip


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


def measure(maker: Maker, pack: Pack, keys: list[Key]) -> list[Measured]:
    """The test part, once per file, and the float file once per value of each trait that films have.

    The held-back films come last, for comparison: they chose the threshold, so it flatters there.
    """
    shop, test = maker.shop, maker.shop.material.part("test")
    here = choice.available()
    rows = [_row(pack, test, "test", key, "") for key in keys if key[0] in here]
    if "openvino" in here and ("openvino", "fp32") not in keys:
        rows.append(_row(pack, test, "test", ("openvino", "fp32"), ""))
    for name, value in sorted({trait for film in test.films for trait in film.traits}):
        condition = f"{name}={value}"
        part = where(test, condition)
        rows.append(_row(pack, part, f"test[{condition}]", artefacts.SOURCE, f" --where {condition}"))
    pooled = Predictions.load(verdicts.predictions_path(shop, verdicts.ORIGINAL))
    split = "val" if len(shop.material.division.folds) == 1 else "out-of-fold"
    original = verdicts.BROUGHT if shop.recipe.net.onnx else verdicts.ORIGINAL
    result = evaluation(pooled, pack.manifest.findings[0], pack.name, *original, split)
    return [*rows, as_row(result, BY_RUN.format(pack=pack.name)), *unseen(shop, pack)]


def unseen(shop: Workshop, pack: Pack) -> Iterable[Measured]:
    """What networks like this one scored on films of a source that they had never seen."""
    told = shop.ledger.read(leave_out.STEP) if shop.recipe.data.leave_out and shop.recipe.train else {}
    for one in told.get("sources", ()):
        if one["auc"] is not None:
            yield Measured.model_validate({
                "runtime": verdicts.ORIGINAL[0], "precision": verdicts.ORIGINAL[1], "command":
                BY_RUN.format(pack=pack.name), "split": f"{leave_out.SPLIT}[{told['trait']}={one['value']}]",
                "n": one["n"], "positives": one["positives"], "auc": one["auc"], "auc_ci": one["auc_ci"],
                "threshold": pack.manifest.findings[0].threshold, "sensitivity": None, "sensitivity_ci": None,
                "specificity": None, "specificity_ci": None,
            })  # fmt: skip


def as_row(result: Evaluation, command: str) -> Measured:
    """A result as a row of the manifest, numbers to four places."""
    return Measured.model_validate({**result.row(), "command": command})


def report_step(shop: Workshop) -> dict[str, Any]:
    """The report of everything the steps noted, in the work folder."""
    left_out = (leave_out.STEP,) if shop.recipe.data.leave_out else ()
    before = (*shop.learnt, "gates", "speed", *left_out)
    mark = shop.ledger.fingerprint({"describe": _words_digest(shop)}, before, shop.digest)
    if (known := shop.ledger.results("report", mark)) is not None:
        return known
    path = written_report(shop)
    results = {"bytes": path.stat().st_size}
    shop.ledger.done("report", mark, results, [path])
    return results


def written_report(shop: Workshop) -> Path:
    """Write the report."""
    words, division = verdicts.words_of(shop), shop.material.division
    keys = [verdicts.ORIGINAL, *verdicts.passed(shop)]
    told = {key: Predictions.load(verdicts.predictions_path(shop, key)) for key in keys}
    main = next((key for key in reversed(keys) if key[1] == "int8"), keys[0])
    subject = report.Subject(
        shop.recipe.pack, shop.recipe.version, words.title, verdicts.finding_of(shop), words.weak_points,
        "val" if len(division.folds) == 1 else "out-of-fold", main, verdicts.ORIGINAL,
    )  # fmt: skip
    return report.write(shop.work / REPORT, subject, told, report.Accounts.read(shop.work))


def sums(folder: Path) -> Path:
    """``SHA256SUMS``: the digest of every other file of the pack, as ``sha256sum --check`` reads it."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != SUMS)
    lines = (f"{sha256_of(path)}  {path.relative_to(folder).as_posix()}\n" for path in files)
    (folder / SUMS).write_text("".join(lines), encoding="utf-8")
    return folder / SUMS


def _row(pack: Pack, films: FilmSet, split: str, key: Key, option: str) -> Measured:
    progress = Progress(f"{pack.name} {key[1]} {key[0]}", len(films.films))
    result, _ = evaluate(pack, films, split, *key, progress.at)
    shown = "–" if result.auc is None else f"{result.auc:.4f}"
    print(f"{pack.name}: {split} AUC {shown} in {key[0]} {key[1]}", file=sys.stderr, flush=True)
    part = split.partition("[")[0]
    command = EVALUATE.format(pack=pack.name, split=part, runtime=key[0], precision=key[1]) + option
    return as_row(result, f"{command} --json")


def _verdict(told: dict[str, Any]) -> Verdict:
    said = "; ".join(str(one["said"]) for one in told["gates"])
    return Verdict(runtime=told["runtime"], precision=told["precision"], outcome=told["outcome"], said=said)


def _refusal(told: dict[str, Any]) -> Refused:
    return Refused(runtime=told["runtime"], precision=told["precision"], why=told["why"])


def _agreed(told: dict[str, Any]) -> MapAgreement:
    every, evidence = told["every_cell"], told["evidence"]
    return MapAgreement(
        runtime=told["runtime"], precision=told["precision"], n=every["n"], mean=every["mean"],
        median=every["median"], low=every["low"], least=every["least"], evidence=evidence["mean"],
        evidence_n=evidence["n"],
    )  # fmt: skip


def _speeds(shop: Workshop) -> list[Speed]:
    told = shop.ledger.read("speed")
    return [
        Speed(
            runtime=one["runtime"] if one["name"] in NAMES.values() else one["name"], precision=one["precision"],
            milliseconds=one["milliseconds"], low=one["low"], high=one["high"], threads=told["threads"],
            machine=told["machine"],
        )
        for one in told["rows"]
    ]  # fmt: skip


def _whole(folder: Path) -> bool:
    try:
        Pack.load(folder).verify()
    except PackError:
        return False
    return True


def _words_digest(shop: Workshop) -> str:
    return sha256_of(shop.near / shop.recipe.describe)
