"""Accuracy of a pack on labelled films, in one runtime and precision. Needs no PyTorch.

The films are read as on the box (:mod:`converters.evaluation.box_inference`): the same preprocessing, runtime module,
pooling and calibration, and the pack's own frozen threshold. Films that the box would refuse are counted. The logits
can be kept as predictions; the numbers are those of :mod:`converters.evaluation.metrics`.
"""

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from converters import tasks
from converters.data import frozen_test_log, readers, recipe_data, splits
from converters.data.datasets import FilmSet
from converters.data.predictions import Predictions
from converters.elsewhere import figures, rows
from converters.elsewhere.sets import HOW_NAMED, External
from converters.evaluation.box_inference import BoxPredictions, Tick, predict_films, silent
from converters.evaluation.metrics import Evaluation, Prevalence, against, evaluation, in_order, plain
from converters.failures import DataUnreadable, OutputUnwritable, RecipeInvalid
from converters.recipe import load_recipe
from converters.statistics import lesions
from firmware_app.core import console
from firmware_app.packs.evidence import ExternalValidation
from firmware_app.packs.pack_folder import Pack
from firmware_app.packs.runtimes import registry
from firmware_app.packs.typicality import FamiliarityCheck

PRECISIONS = ("fp32", "fp16", "int8")


def predict(pack: Pack, films: FilmSet, runtime: str, precision: str, tick: Tick = silent) -> Predictions:
    """The logits of the pack's first finding; ``tick`` hears how many films are done.

    Raises :class:`DataUnreadable` without any film.
    """
    return _run_on_box(pack, films, runtime, precision, tick).predictions


def evaluate(
    pack: Pack,
    films: FilmSet,
    split: str,
    runtime: str,
    precision: str,
    tick: Tick = silent,
    prevalence: float | None = None,
) -> tuple[Evaluation, Predictions]:
    """The numbers of the pack's first finding on ``films``, and the predictions they are computed from.

    ``prevalence`` is the clinic's, for the decision curve. Raises :class:`DataUnreadable` without any film.
    """
    reading = _run_on_box(pack, films, runtime, precision, tick)
    hits = lesions.measure_lesions(reading.marks, reading.predictions.patients) if reading.marks else None
    spec, at = pack.manifest.section.findings[0], Prevalence(pack.manifest.calibration_prevalence, prevalence)
    result = evaluation(
        reading.predictions,
        spec,
        pack.name,
        runtime=runtime,
        precision=precision,
        split=split,
        lesions=hits,
        given=reading.given,
        prevalence=at,
    )
    return replace(result, unfit=reading.unfit, statistics=reading.statistics), reading.predictions


def _run_on_box(pack: Pack, films: FilmSet, runtime: str, precision: str, tick: Tick) -> BoxPredictions:
    session = registry.get_runtime(runtime).load(pack.artefact(runtime, precision))
    try:
        familiar = FamiliarityCheck.load(pack, runtime, precision)
    except ValueError as error:
        raise DataUnreadable(str(pack.folder), str(error)) from error
    return predict_films(session, films, pack.manifest, familiar, tick)


def choose_films(
    pack: Pack, data: Path, positive: str | None, split: str | None, recipe: Path | None = None
) -> tuple[FilmSet, str]:
    """The films to score and the name of what was chosen.

    With ``recipe``, which is the pack's, ``data`` is read as it says, and ``split`` is one of its parts (:func:`_of`).
    Without it ``split`` is ``train``, ``val`` or ``test`` of our own recipe of the pack's name where ``data`` holds its
    films; else a part that the data set itself has (see :func:`readers.opened`). Without ``split`` all films count, of
    an ``.npz`` those of ``test``. ``positive`` names the positive class, else the recipe or the finding's code does.
    """
    if recipe is not None:
        return _open_pack_and_images(pack, recipe, data, positive, split)
    section = pack.manifest.section
    task = tasks.get(pack.manifest.task).configure_for_pack(section)
    films, part = _by_form(pack, data, None if task.reads_labels else section.findings[0].code, positive, split)
    return task.aim(films), part


def _by_form(pack: Pack, data: Path, code: str | None, positive: str | None, split: str | None) -> tuple[FilmSet, str]:
    """The films by the data's form; ``code`` is the word for the positive class where ``positive`` names none."""
    if data.suffix == ".npz" and data.is_file():
        return readers.open_set(data, code, positive, split), split or "test"
    if split is None:
        return readers.open_set(data, code, positive), "all"
    if not (data / split).is_dir():
        recipe, lists = splits.RECIPES / f"{pack.name}.toml", splits.LISTS
        films, frozen = readers.open_set(data, code, positive), splits.frozen_test(pack.name, lists)
        if {film.name for film in films.films}.intersection(frozen) and recipe.is_file():
            own = load_recipe(recipe)
            films = recipe_data.open_reader(own, data) if own.data.beside else films
        ours = bool(frozen) and {film.name for film in films.films}.issuperset(frozen)
        if split == "test" and ours:
            _note(pack, lists)
            return films.only(frozen), split
        if split in ("train", "val") and ours and recipe.is_file():
            return recipe_data.open_recipe_data(load_recipe(recipe), data, lists=lists).part(split), split
    if not readers.has_split(data, split):
        raise DataUnreadable(str(data), f"it has no split {split}, nor the films of the test part of {pack.name}")
    return readers.open_set(data, code, positive, split), split


def _open_pack_and_images(
    pack: Pack, path: Path, data: Path, positive: str | None, split: str | None
) -> tuple[FilmSet, str]:
    """``train``, ``val`` or ``test`` of the pack's own recipe, whose list of test films stands beside it; else all.

    Raises :class:`~converters.failures.RecipeInvalid` for another pack's recipe.
    """
    recipe, lists = load_recipe(path), splits.lists_of(path.resolve().parent)
    if recipe.pack != pack.name:
        raise RecipeInvalid(str(path), f"it is the recipe of {recipe.pack}, not of {pack.name}")
    if positive is not None:
        recipe = recipe.model_copy(update={"data": recipe.data.model_copy(update={"positive": positive})})
    frozen = splits.frozen_test(pack.name, lists)
    if split is not None and not frozen:
        raise DataUnreadable(str(lists), f"there is no {pack.name}.test.txt, the list of the films that judge it")
    if split not in (None, "test"):
        return recipe_data.open_recipe_data(recipe, data, lists=lists).part(split), split
    films = recipe_data.open_reader(recipe, data)
    own = recipe_data.own_head_films(recipe, films)  # these judge nothing
    if split is None:
        return films.only([film.name for film in films.films if film.name not in own]), "all"
    films = films.only([name for name in frozen if name not in own])
    _note(pack, lists)
    return films, split


def _note(pack: Pack, lists: Path) -> None:
    """Note this use of the test part; without the right to write there, a warning is printed."""
    try:
        frozen_test_log.record_look(pack.manifest, time.strftime("%Y-%m-%d", time.gmtime()), lists)
    except OutputUnwritable as error:
        print(f"this look at the test part is not noted: {error}", file=sys.stderr, flush=True)


def select_where(films: FilmSet, condition: str) -> FilmSet:
    """Only the films with a trait, ``view=AP``. Raises :class:`DataUnreadable` when none has it."""
    name, _, value = condition.partition("=")
    kept = tuple(film for film in films.films if dict(film.traits).get(name) == value)
    if not kept:
        raise DataUnreadable(films.name, f"no film has {condition}")
    return FilmSet(films.name, films.positive, kept)


def table(result: Evaluation) -> str:
    """The result as a table of text."""

    def rate(value: float | None, interval: tuple[float, float] | None) -> str:
        return (
            "not defined"
            if value is None or interval is None
            else (f"{value:.3f}  (95 % interval {interval[0]:.3f} to {interval[1]:.3f})")
        )

    heading = f"{result.pack}, {result.precision} in {result.runtime}, {result.split}"
    lines = [
        f"{heading}: {result.n} films, {result.positives} positive",
        f"  AUC          {rate(result.auc, result.auc_ci)}",
        f"  sensitivity  {rate(result.sensitivity, result.sensitivity_ci)}  at threshold {result.threshold:.3f}",
        f"  specificity  {rate(result.specificity, result.specificity_ci)}",
        *(
            f"  sensitivity  {rate(point.sensitivity, point.sensitivity_ci)}  at specificity {point.specificity:g}"
            for point in result.at_specificity
        ),
        f"  wrong        {rate(result.wrong, result.wrong_ci)}",
        f"  ECE          {rate(result.ece, result.ece_ci)}",
        f"  Brier score  {rate(result.brier, result.brier_ci)}",
    ]
    if result.decision_curve is not None:
        useful = result.decision_curve.useful
        span = f"from {useful[0]:g} to {useful[1]:g}" if useful else "at no threshold"
        lines.append(
            f"  better than treating all or none {span}, at a prevalence of {result.decision_curve.prevalence:.3g}"
        )
    if result.unfit:
        lines.append(f"  not fit for a model, and not counted: {result.unfit} films")
    if result.passed is not None:
        lines.append(
            f"  a number     {rate(result.passed, result.passed_ci)}  of the films get one on the box; of these:"
        )
        lines.append(f"  wrong        {rate(result.wrong_passed, result.wrong_passed_ci)}")
        lines.append(f"  AUC          {rate(result.auc_passed, result.auc_passed_ci)}")
        lines.append(f"  sensitivity  {rate(result.sensitivity_passed, result.sensitivity_passed_ci)}")
        lines.append(f"  specificity  {rate(result.specificity_passed, result.specificity_passed_ci)}")
    if result.coverage is not None:
        lines += [
            f"  surest {point.given:4.0%}  {rate(point.wrong, point.wrong_ci)}  wrong, were no others given a number"
            for point in result.coverage.points[1:]
        ]
    if result.lesions is not None:
        hit = result.lesions
        lines.append(f"  Dice         {rate(hit.dice, hit.dice_ci)}")
        lines.append(
            f"  lesions      {rate(hit.lesions.value, hit.lesions_ci)}  found of {hit.lesions.n}, with "
            f"{hit.false_per_film:.2f} false marks a film"
        )
        if hit.clean.n:
            lines.append(f"  no mark      {rate(hit.clean.value, hit.clean_ci)}  of {hit.clean.n} without a lesion")
        if hit.organ is not None:
            lines.append(f"  organ Dice   {rate(hit.organ, hit.organ_ci)}")
    lines += [
        f"  {f'{statistic.name} {statistic.of}':<12} {rate(statistic.value, statistic.interval)}"
        for statistic in result.statistics
    ]
    lines += [
        f"  {group.trait} {group.value} ({group.n}): sensitivity {rate(group.sensitivity, group.sensitivity_ci)}, "
        f"specificity {rate(group.specificity, group.specificity_ci)}"
        for group in in_order(result.subgroups)
    ]
    return "\n".join(lines)


def add_pack_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options for the pack, its own films, and the model file to evaluate."""
    parser.add_argument("pack", type=Path, help="the pack's folder")
    parser.add_argument("--data", type=Path, required=True, help=f"the films: {readers.FORMS}")
    parser.add_argument("--positive", help="the positive class (or label number); else the finding's code")
    parser.add_argument("--recipe", type=Path, help="the pack's own, whose parts are meant (default: ours of its name)")
    parser.add_argument("--runtime", default=registry.DEFAULT, choices=tuple(registry.list_runtimes()))
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        help="default: int8 where the runtime has one, else fp32, else fp16 (a box takes "
        "whichever file is the fastest right one on its own processor)",
    )


def add_external_argument(parser: argparse.ArgumentParser, *, required: bool) -> None:
    """``--external``, which may be repeated."""
    parser.add_argument(
        "--external",
        type=External.parse,
        action="append",
        default=None if required else [],
        required=required,
        metavar=HOW_NAMED,
        help="films of another place, in any form of --data (PART: one of its own parts, such as "
        "under-18): what the box gives for them, with its refusals; may be repeated",
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``lantern-convert evaluate``."""
    add_pack_arguments(parser)
    add_external_argument(parser, required=False)
    parser.add_argument("--split", help="train, val, test (the committed list), or a part that the data has; else all")
    parser.add_argument(
        "--prevalence",
        type=float,
        metavar="SHARE",
        help="of the finding at the clinic, for the decision curve (default: the films')",
    )
    parser.add_argument("--where", metavar="TRAIT=VALUE", help="only films with this trait, such as view=AP")
    parser.add_argument("--out", type=Path, metavar="FILE.npz", help="keep the predictions there")
    parser.add_argument(
        "--against", metavar="FILE.npz|PRECISION", help="compare, film by film, with kept predictions or a precision"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout instead of a table")


def command(options: argparse.Namespace) -> int:
    """``lantern-convert evaluate`` with :func:`add_arguments`'s options; prints and returns the exit status."""
    pack = Pack.load(options.pack.resolve())
    films, split = choose_films(pack, options.data, options.positive, options.split, options.recipe)
    if options.where:
        films, split = select_where(films, options.where), f"{split}[{options.where}]"
    precision = options.precision or usual_precision(pack, options.runtime)
    with console.show_progress(f"{pack.name} {precision} {options.runtime}: read") as advance:
        result, predictions = evaluate(
            pack,
            films,
            split,
            runtime=options.runtime,
            precision=precision,
            tick=advance,
            prevalence=options.prevalence,
        )
    if options.out:
        predictions.save(options.out)
    compared = _compare(pack, films, options, predictions) if options.against else None
    away = measure_external(pack, options, precision)
    if options.json:
        more = {} if compared is None else {"against": plain(compared)}
        if options.external:
            more["elsewhere"] = [external_validation.model_dump(mode="json") for external_validation in away]
        print(json.dumps({**result.as_dict(), **more}))
    else:
        gates = () if compared is None else compared["gates"]
        lines = (table(result), *(f"  {gate['said']}: {gate['outcome']}" for gate in gates), *map(figures.table, away))
        print("\n".join(lines))
    return 0


def measure_external(pack: Pack, options: argparse.Namespace, precision: str) -> list[ExternalValidation]:
    """The rows of ``--external``; films that are known from ``--data``, whatever its part, judge nothing there."""
    if not options.external:
        return []

    path = options.recipe or splits.RECIPES / f"{pack.name}.toml"
    ours = path.is_file() and splits.is_ours(path.parent)
    folder = f"models/{pack.name}" if ours else f"OUT/{pack.name}"

    def command(one: External) -> str:
        recipe = f" --recipe {'converters/recipes/' if ours else ''}{options.recipe.name}" if options.recipe else ""
        return (
            f"lantern-convert evaluate {folder} --data DATA{recipe} {one.option} "
            f"--runtime {options.runtime} --precision {precision} --json"
        )

    external = _read_external_sets(pack, options)
    return rows.measure(
        pack, _home(pack, options), external, runtime=options.runtime, precision=precision, command=command
    )


def _read_external_sets(pack: Pack, options: argparse.Namespace) -> list[External]:
    """Read the sets of ``--external``; those of the recipe's [[elsewhere]] with its reader and class words."""
    path = options.recipe or splits.RECIPES / f"{pack.name}.toml"
    said = (
        {elsewhere.name: elsewhere for elsewhere in load_recipe(path).elsewhere if elsewhere.reader is not None}
        if path.is_file()
        else {}
    )
    return [
        replace(one, reader=said[one.name].reader, positive=said[one.name].positive, negative=said[one.name].negative)
        if one.name in said
        else one
        for one in options.external
    ]


def _home(pack: Pack, options: argparse.Namespace) -> FilmSet:
    """Every film of ``--data``; where it is what our own recipe of the pack says, of the sets beside it too."""
    recipe = options.recipe
    ours = splits.RECIPES / f"{pack.name}.toml"
    if recipe is None and options.positive is None and ours.is_file():
        frozen = splits.frozen_test(pack.name)
        held = {film.name for film in choose_films(pack, options.data, None, None)[0].films}
        recipe = ours if frozen and held.issuperset(frozen) else None
    return choose_films(pack, options.data, options.positive, None, recipe)[0]


def usual_precision(pack: Pack, runtime: str) -> str:
    """The default precision: INT8 where the runtime has such a file, else its first."""
    return next((one for one in ("int8", "fp32", "fp16") if pack.has(runtime, one)), "fp32")


def _compare(pack: Pack, films: FilmSet, options: argparse.Namespace, mine: Predictions) -> dict[str, Any]:
    if options.against in PRECISIONS:
        original = predict(pack, films, options.runtime, options.against)
    else:
        original = Predictions.load(Path(options.against))
    return {"original": options.against, **against(original, mine, pack.manifest.section.findings[0])}
