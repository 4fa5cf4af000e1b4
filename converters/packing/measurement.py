"""The rows of a card: the pack on its frozen test part, and the held-back films beside it."""

import hashlib
import shlex
import sys
import time
from collections.abc import Iterable
from dataclasses import replace

from converters.data import frozen_test_log, splits
from converters.data.datasets import FilmSet
from converters.data.predictions import Predictions
from converters.elsewhere import rows
from converters.elsewhere.sets import External
from converters.evaluation import operating_point, out_of_fold
from converters.evaluation.evaluate import evaluate, select_where, usual_precision
from converters.evaluation.metrics import Evaluation, evaluation
from converters.failures import NoOtherPlace
from converters.formats import artefacts
from converters.formats.artefacts import Key
from converters.training import leave_out
from converters.training.steps import RecipeRun
from firmware_app.core import console
from firmware_app.packs.evidence import UNSEEN, ExternalValidation, FrozenTestSet, Measurement
from firmware_app.packs.pack_folder import Pack
from firmware_app.packs.runtimes import registry

EVALUATE = "lantern-convert evaluate {pack} --data DATA {films} --runtime {runtime} --precision {precision}"
BY_RUN = "lantern-convert run {recipe} --data DATA --out OUT"
BESIDE = tuple(
    f"{name}{end}"
    for name in ("wrong", "passed", "wrong_passed", "auc_passed", "sensitivity_passed", "specificity_passed")
    for end in ("", "_ci")
)
"""What else a source that was left out has a row for."""
OUTLINED = (
    "dice",
    "dice_ci",
    "lesion_sensitivity",
    "lesion_sensitivity_ci",
    "false_positives_per_image",
    "without_mark",
    "without_mark_ci",
    "organ_dice",
    "organ_dice_ci",
)
"""And where the task marks lesions."""
SHIPPED = "models"
"""Where this repository keeps the packs of its own recipes."""


def evaluate_command(run: RecipeRun, films: str, key: Key) -> str:
    """The command that prints a row of ``films`` (``--split test``): of our own packs from the repository's root, else
    from the recipe's folder.

    ``DATA`` and ``OUT`` are what ``run`` was given. Only the recipe knows the sets beside ``DATA``.
    """
    ours, name = splits.is_ours(run.near), run.recipe.pack
    pack = f"{SHIPPED if ours else 'OUT'}/{name}"
    command = EVALUATE.format(pack=pack, films=films, runtime=key[0], precision=key[1])
    return command if ours and not run.recipe.data.beside else f"{command} --recipe {_file(run)}"


def run_command(run: RecipeRun) -> str:
    """The command that makes the pack again, and with it the rows that no other command prints."""
    return BY_RUN.format(recipe=_file(run))


def measure(run: RecipeRun, pack: Pack) -> list[Measurement]:
    """The test part, once per file, and the float file once per value of each trait that films have.

    The caller notes this use of the test part (:func:`looked_at`).

    The held-back films come last, for comparison: they chose the threshold, so it flatters there.
    """
    test = run.dataset.part("test")
    held = {(artefact.runtime, artefact.precision) for artefact in pack.manifest.artefacts}
    keys = [key for key in artefacts.NAMES if key in held]
    here = registry.list_available_runtimes()
    rows = [_row(run, pack, test, "test", key) for key in keys if key[0] in here]
    if "openvino" in here and ("openvino", "fp32") not in keys:
        rows.append(_row(run, pack, test, "test", ("openvino", "fp32")))
    for name, value in sorted({trait for film in test.films for trait in film.traits}):
        condition = f"{name}={value}"
        part = select_where(test, condition)
        rows.append(_row(run, pack, part, split=f"test[{condition}]", key=artefacts.SOURCE, condition=condition))
    pooled = Predictions.load(out_of_fold.predictions_path(run, out_of_fold.ORIGINAL))
    split = "val" if len(run.dataset.division.folds) == 1 else "out-of-fold"
    original = out_of_fold.FOREIGN_ONNX if run.recipe.net.onnx else out_of_fold.ORIGINAL
    finding, given = pack.manifest.section.findings[0], operating_point.measure_given_at_home(run, pooled)
    result = evaluation(pooled, finding, pack.name, *original, split, given=given)
    return [*rows, as_row(result, run_command(run)), *unseen(run, pack)]


def unseen(run: RecipeRun, pack: Pack) -> Iterable[Measurement]:
    """Rows of the networks of ``train`` (the teachers, if any), each on a source that it was trained without."""
    teacher = ", teacher" if run.recipe.net.teacher is not None else ""
    account = run.ledger.read(leave_out.STEP) if run.recipe.data.leave_out and run.recipe.train else {}
    for one in account.get("sources", ()):
        rates = ("sensitivity", "sensitivity_ci", "specificity", "specificity_ci")
        if any(one.get(name) is not None for name in ("auc", *rates)):
            threshold = one.get("threshold") or pack.manifest.section.findings[0].threshold
            yield Measurement.model_validate(
                {
                    "runtime": out_of_fold.ORIGINAL[0] + teacher,
                    "precision": out_of_fold.ORIGINAL[1],
                    "command": run_command(run),
                    "split": f"{UNSEEN}[{account['trait']}={one['value']}]",
                    "n": one["n"],
                    "positives": one["positives"],
                    "auc": one["auc"],
                    "auc_ci": one["auc_ci"],
                    "threshold": threshold,
                    **{name: one.get(name) for name in (*rates, *BESIDE, *OUTLINED)},
                }
            )


def list_external(run: RecipeRun, pack: Pack) -> list[ExternalValidation]:
    """Rows of the recipe's ``[[elsewhere]]``, by the file that ``evaluate`` takes unsaid; a line for each that cannot
    be: it is not there, or all its films are the recipe's own."""
    cited = {one.name: one for one in operating_point.load_pack_words(run).elsewhere}
    made: list[ExternalValidation] = []

    def format_command(one: External) -> str:
        return f"{evaluate_command(run, one.option, key)} --json"

    key = (registry.DEFAULT, usual_precision(pack, registry.DEFAULT))
    for elsewhere in run.recipe.elsewhere:
        path, whose = run.data.resolve().parent / elsewhere.path, cited.get(elsewhere.name)
        if not path.exists():
            print(
                f"{pack.name}: {elsewhere.name} is not there, so the pack is not tried on it",
                file=sys.stderr,
                flush=True,
            )
            continue
        away = External(
            path=path,
            name=elsewhere.name,
            part=elsewhere.part,
            reader=elsewhere.reader,
            positive=elsewhere.positive,
            negative=elsewhere.negative,
        )
        if whose is not None:
            away = replace(away, licence=whose.licence, citation=whose.citation)
        try:
            made += rows.measure(pack, run.dataset.films, [away], *key, format_command)
        except NoOtherPlace as error:
            print(f"{pack.name}: {error}", file=sys.stderr, flush=True)
    return made


def record_test_look(run: RecipeRun, pack: Pack) -> FrozenTestSet:
    """Note this use of the test part; returns how many there were."""
    lists = splits.lists_of(run.near)
    times = frozen_test_log.record_look(pack.manifest, time.strftime("%Y-%m-%d", time.gmtime()), lists)
    names = "".join(f"{name}\n" for name in run.dataset.division.test)
    return FrozenTestSet(
        films=len(run.dataset.division.test), sha256=hashlib.sha256(names.encode()).hexdigest(), looks=times
    )


def as_row(result: Evaluation, command: str) -> Measurement:
    """A result as a row of the manifest, numbers to four places."""
    return Measurement.model_validate({**result.row(), "command": command})


def _row(run: RecipeRun, pack: Pack, films: FilmSet, split: str, key: Key, condition: str = "") -> Measurement:
    with console.show_progress(f"{pack.name} {key[1]} {key[0]}: read") as advance:
        result, _ = evaluate(pack, films, split, *key, advance)
    shown = "–" if result.auc is None else f"{result.auc:.4f}"
    print(f"{pack.name}: {split} AUC {shown} in {key[0]} {key[1]}", file=sys.stderr, flush=True)
    command = evaluate_command(run, f"--split {split.partition('[')[0]}", key)
    return as_row(result, f"{command} --where {shlex.quote(condition)} --json" if condition else f"{command} --json")


def _file(run: RecipeRun) -> str:
    """The recipe's file: from the repository's root where it is our own, else from its folder."""
    file = shlex.quote(run.file or f"{run.recipe.pack}.toml")
    return f"converters/recipes/{file}" if splits.is_ours(run.near) else file
