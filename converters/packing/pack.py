"""From model files to a pack: describe, draw golden cases, measure once on the test part, write card, report and sums.

Nothing here looks at a test film before the manifest's threshold and calibration are written. The pack takes its name
when it is whole.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from converters.data.predictions import Predictions
from converters.evaluation import gate_step, operating_point, out_of_fold
from converters.evaluation.gates import GateResult
from converters.evaluation.metrics import Prevalence
from converters.failures import GateFailed, OutputUnwritable
from converters.formats import artefacts
from converters.formats.artefacts import Key
from converters.golden_cases import cases as golden
from converters.golden_cases import gate
from converters.packing import card, measurement, pack_manifest, sbom, weak_points
from converters.report import elsewhere_section, weak_section
from converters.report import page as report
from converters.report.step_results import Accounts
from converters.synthetic_images import golden_images
from converters.tasks.interface import Outputs
from converters.training import leave_out, steps
from converters.training.steps import RecipeRun
from converters.workflow.atomic import put_in_place
from firmware_app.packs import pack_folder
from firmware_app.packs.errors import PackError
from firmware_app.packs.evidence import GoldenCase
from firmware_app.packs.manifest import Manifest, file_sha256
from firmware_app.packs.manifest_types import LocalisedText
from firmware_app.packs.pack_folder import Pack

Refusals = Mapping[Key, Sequence[GateResult]]
"""(runtime, precision) of a file → the verdicts that refuse it."""

REPORT = weak_section.NAME
AFTER = ("calibrate", "export", "quantize", "maps", "typicality", "speed", "gates")
"""The steps behind training whose accounts a pack is made of."""


@dataclass(frozen=True, slots=True)
class PackBuilder:
    """One pack in the making, in ``folder``."""

    run: RecipeRun
    folder: Path

    def keep(self, manifest: Manifest) -> Pack:
        """Write the manifest and read the pack back, as the box will."""
        golden.write_manifest(self.folder, manifest)
        return Pack.load(self.folder)


def pack_step(run: RecipeRun, out: Path) -> dict[str, Any]:
    """Make ``out/<pack>``, measured and with its card, report and bill of materials."""
    name = run.recipe.pack
    before = ("calibrate", "gates", "speed", "typicality", "report")
    there = [
        elsewhere.name for elsewhere in run.recipe.elsewhere if (run.data.resolve().parent / elsewhere.path).exists()
    ]
    made_of = {"describe": _words_digest(run), **steps.tables(run.recipe, "elsewhere"), "there": there}
    mark = run.ledger.fingerprint(made_of, before, run.digest)
    known = run.ledger.results("pack", mark)
    if known is not None and _is_complete(out / name):
        return known
    parts = out / ".making"
    try:
        shutil.rmtree(parts, ignore_errors=True)
        maker = PackBuilder(run, parts / name)
        maker.folder.mkdir(parents=True)
        results = assemble(maker)
        put_in_place(maker.folder, out / name)
    except OSError as error:
        raise OutputUnwritable(str(out / name), error.strerror or str(error)) from error
    finally:
        shutil.rmtree(parts, ignore_errors=True)
    # Again: what the golden cases refused has changed the report.
    run.ledger.record_step("pack", run.ledger.fingerprint(made_of, before, run.digest), results, [])
    return results


def assemble(maker: PackBuilder) -> dict[str, Any]:
    """Fill the folder: files, manifest, golden cases, measurements, card, report, bill, sums."""
    run, folder = maker.run, maker.folder
    report_step(run)
    keys = gate_step.list_passed(run)
    if artefacts.SOURCE not in keys:
        why = next(
            one["why"]
            for one in run.ledger.read("gates")["artefacts"]
            if (one["runtime"], one["precision"]) == artefacts.SOURCE
        )
        raise GateFailed("pack", f"the float ONNX file itself was refused: {why}")
    pack = maker.keep(pack_manifest.describe(run, folder))
    cases = (*draw_golden_cases(maker, pack), *golden.refer(operating_point.load_pack_words(run).references))
    pack = maker.keep(pack.manifest.model_copy(update={"golden": cases}))
    pack = maker.keep(pack.manifest.model_copy(update={"golden": golden.fill(pack)}))
    judged = gate.judge(pack, eager(run))
    refused = judged.refusals(pack.manifest.artefacts)
    pack = maker.keep(gate.drop_refused(pack, judged))
    if refused:  # the report in the work folder was written before
        report_step(run, refused)
    part = measurement.record_test_look(run, pack)  # first: an interrupted measurement counts as a use too
    rows = tuple(measurement.measure(run, pack))
    away = tuple(measurement.list_external(run, pack))
    made_by = run.ledger.read_code_digests((*run.training_steps, *AFTER))
    more = {"measured": rows, "measured_elsewhere": away, "test_part": part, "made_by": made_by}
    pack = maker.keep(pack.manifest.model_copy(update=more))
    card.write(folder)
    points, head = weak_points.points(pack.manifest), elsewhere_section.section(pack.manifest)
    write_report(run, folder / REPORT, refused, with_films=False, points=points, elsewhere=head)
    sbom.write(folder / sbom.NAME)
    pack.verify()
    pack_folder.write_sums(folder)
    files = pack.manifest.artefacts
    return {"files": [file.path for file in files], "tolerance": {file.path: file.golden_tolerance for file in files}}


def draw_golden_cases(maker: PackBuilder, pack: Pack) -> list[GoldenCase]:
    """The golden images, drawn in the likeness of the films that teach the finding; of a clinic's films nothing is
    published."""
    run, fed = maker.run, set(maker.run.dataset.feedback)
    names = run.dataset.select_finding(run.dataset.division.shipped.train)
    train = run.films([name for name in names if name not in fed])
    groups = [run.dataset.group_of[film.name] for film in train.films]
    return golden_images.make(pack, train, groups, operating_point.load_pack_words(run).drawn_as, run.recipe.seed)


def eager(run: RecipeRun) -> gate.Original:
    """The network that ships, in PyTorch."""
    net = steps.load_final(run, run.dataset.division.shipped).eval()

    def ask(film: NDArray[np.float32]) -> Outputs:
        with torch.inference_mode():
            given = dict(zip(net.outputs, net(torch.from_numpy(film)), strict=False))
        return {name: np.asarray(given[name].float().numpy(), dtype=np.float32) for name in run.task.outputs}

    return ask


def report_step(run: RecipeRun, refused: Refusals | None = None) -> dict[str, Any]:
    """The report of everything the steps noted, and of what was ``refused`` since, in the work folder."""
    left_out = (leave_out.STEP,) if run.recipe.data.leave_out else ()
    before = (*run.training_steps, "calibrate", "gates", "speed", *left_out)
    mark = run.ledger.fingerprint({"describe": _words_digest(run)}, before, run.digest)
    if not refused and (known := run.ledger.results("report", mark)) is not None:
        return known
    path = write_report(run, run.work / REPORT, refused or {}, with_films=True)
    results = {"bytes": path.stat().st_size}
    run.ledger.record_step("report", mark, results, [path])
    return results


def write_report(
    run: RecipeRun,
    path: Path,
    refused: Refusals,
    *,
    with_films: bool,
    points: Sequence[LocalisedText] = (),
    elsewhere: str = "",
) -> Path:
    """Write the report to ``path``. ``refused``: by the golden gate, after the others. ``with_films``: show example
    films under their maps; a pack, which is handed on, holds no film of the data set. ``points``, ``elsewhere``: the
    weak points and the section on other places of the finished pack, as its card has them."""
    words, division = operating_point.load_pack_words(run), run.dataset.division
    keys = [out_of_fold.ORIGINAL, *(key for key in gate_step.list_passed(run) if key not in refused)]
    predictions = {key: Predictions.load(out_of_fold.predictions_path(run, key)) for key in keys}
    main = next((key for key in reversed(keys) if key[1] == "int8"), keys[0])
    subject = report.Subject(
        pack=run.recipe.pack,
        version=run.recipe.version,
        title=words.title,
        finding=operating_point.finding_of(run),
        weak_points=words.weak_points,
        split="val" if len(division.folds) == 1 else "out-of-fold",
        main=main,
        original=out_of_fold.ORIGINAL,
        prevalence=Prevalence(run.ledger.read("calibrate")["prevalence"], run.recipe.cost.prevalence),
        taught=run.recipe.net.teacher is not None,
        points=tuple(points),
        elsewhere=elsewhere,
    )
    accounts = Accounts.read(run.work).refusing(refused)
    return report.write(path, subject, predictions, accounts if with_films else replace(accounts, examples=()))


def _is_complete(folder: Path) -> bool:
    try:
        Pack.load(folder).verify()
    except PackError:
        return False
    return True


def _words_digest(run: RecipeRun) -> str:
    return file_sha256(run.near / run.recipe.describe)
