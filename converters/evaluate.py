"""How good a pack is on labelled films, in one runtime and precision. Needs no PyTorch.

The films go the way they go on the box: the same preprocessing, the same runtime module, the same pooling and
calibration, the pack's own frozen threshold. What they gave is kept as predictions; the numbers are those of
:mod:`converters.evaluation`.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters import lesions, material, sources, splits
from converters.datasets import FilmSet
from converters.evaluation import Evaluation, against, evaluation, in_order, plain
from converters.failures import DataUnreadable
from converters.outlines import strongest
from converters.predictions import Predictions
from converters.progress import Progress
from converters.recipe import load_recipe
from firmware_app.imaging.model_input import InputSpec, fitted, to_model_input
from firmware_app.packs.manifest import FindingSpec
from firmware_app.packs.shelf import Pack
from firmware_app.runtimes import choice
from firmware_app.runtimes.interface import Session
from firmware_app.tasks import classify

RECIPES = Path(__file__).parent / "recipes"
RUNTIMES = ("onnxruntime", "openvino", "litert")
PRECISIONS = ("fp32", "fp16", "int8")

Tick = Callable[[int], None]


def _silent(_: int) -> None:
    """Nobody is told how far it is."""


def predict(pack: Pack, films: FilmSet, runtime: str, precision: str, tick: Tick = _silent) -> Predictions:
    """The logits of the pack's first finding; ``tick`` is told how many films are done.

    Raises :class:`DataUnreadable` without any film.
    """
    return _asked(pack, films, runtime, precision, tick)[0]


def evaluate(
    pack: Pack, films: FilmSet, split: str, runtime: str, precision: str, tick: Tick = _silent
) -> tuple[Evaluation, Predictions]:
    """The numbers of the pack's first finding on ``films``, and the predictions they are computed from.

    Raises :class:`DataUnreadable` without any film.
    """
    predictions, marks = _asked(pack, films, runtime, precision, tick)
    found = lesions.found(marks, predictions.patients) if marks else None
    spec = pack.manifest.findings[0]
    return evaluation(predictions, spec, pack.name, runtime, precision, split, found), predictions


def _asked(
    pack: Pack, films: FilmSet, runtime: str, precision: str, tick: Tick
) -> tuple[Predictions, list[lesions.Marks]]:
    told = pack.manifest
    session = choice.get(runtime).load(pack.artefact(runtime, precision))
    outlines = str(told.task) == "segment"
    return answers(session, films, told.input, told.findings[0], told.output.map, outlines, tick)


def answers(
    session: Session, films: FilmSet, spec: InputSpec, finding: FindingSpec, output: str, outlined: bool = False,
    tick: Tick = _silent,
) -> tuple[Predictions, list[lesions.Marks]]:  # fmt: skip
    """What a loaded model file, of a pack or not yet, says of films: predictions, and marks where it ``outlined``.

    A file that outlines lesions is scored by its strongest cell, and on films with outlines also by its marks. Raises
    :class:`DataUnreadable` without any film, or when only some have an outline.
    """
    if not films.films:
        raise DataUnreadable(films.name, "there are no films")
    logits: list[float] = []
    marks: list[lesions.Marks] = []
    for film in films.films:
        activation = session.infer({spec.name: to_model_input(film.read(), spec)})[output][0]
        cells = activation[finding.channel] + finding.bias
        logits.append(strongest(activation, finding) if outlined else classify.logit(activation, finding))
        truth = film.outlined() if outlined else None
        if truth is not None:
            marks.append(lesions.marked(shown_on(cells, truth.shape, finding.calibration.slope,
                                                 finding.calibration.intercept), truth, finding.threshold))  # fmt: skip
        tick(len(logits))
    if marks and len(marks) < len(logits):
        raise DataUnreadable(films.name, f"{len(logits) - len(marks)} of its films have no outline")
    return Predictions(
        tuple(film.name for film in films.films), material.labels_of(films),
        tuple(film.patient for film in films.films), np.array(logits), tuple(dict(film.traits) for film in films.films),
    ), marks  # fmt: skip


def shown_on(cells: NDArray[np.float32], shape: tuple[int, ...], slope: float, intercept: float) -> NDArray[np.float32]:
    """(h, w) logits → calibrated probabilities at the film's own (H, W), as a mask of it is judged."""
    chances = 1.0 / (1.0 + np.exp(-np.clip(slope * cells + intercept, -60.0, 60.0)))
    return fitted(chances.astype(np.float32), shape)


def chosen_films(pack: Pack, data: Path, positive: str | None, split: str | None) -> tuple[FilmSet, str]:
    """The films to score and the name of what was chosen.

    ``split`` is ``train``, ``val`` or ``test`` of the pack's recipe (its test part is the committed list) where
    ``data`` holds the recipe's films; else a part that the data set itself has (see :func:`sources.opened`). Without
    it all films count, of an ``.npz`` those of ``test``. ``positive`` names the positive class, else the finding's
    code does.
    """
    code = pack.manifest.findings[0].code
    if data.suffix == ".npz" and data.is_file():
        return sources.opened(data, code, positive, split), split or "test"
    if split is None:
        return sources.opened(data, code, positive), "all"
    if not (data / split).is_dir():
        films, frozen = sources.opened(data, code, positive), splits.frozen_test(pack.name)
        recipe = RECIPES / f"{pack.name}.toml"
        ours = bool(frozen) and {film.name for film in films.films}.issuperset(frozen)
        if split == "test" and ours:
            return films.only(frozen), split
        if split in ("train", "val") and ours and recipe.is_file():
            return material.open_material(load_recipe(recipe), data).part(split), split
    if not sources.has_split(data, split):
        raise DataUnreadable(str(data), f"it has no split {split}, nor the films of the test part of {pack.name}")
    return sources.opened(data, code, positive, split), split


def where(films: FilmSet, condition: str) -> FilmSet:
    """Only the films with a trait, ``view=AP``. Raises :class:`DataUnreadable` when none has it."""
    name, _, value = condition.partition("=")
    kept = tuple(film for film in films.films if dict(film.traits).get(name) == value)
    if not kept:
        raise DataUnreadable(films.name, f"no film has {condition}")
    return FilmSet(films.name, films.positive, kept)


def table(result: Evaluation) -> str:
    """The result for a person."""

    def rate(value: float | None, interval: tuple[float, float] | None) -> str:
        return "not defined" if value is None or interval is None else (
            f"{value:.3f}  (95 % interval {interval[0]:.3f} to {interval[1]:.3f})"
        )  # fmt: skip

    heading = f"{result.pack}, {result.precision} in {result.runtime}, {result.split}"
    lines = [
        f"{heading}: {result.n} films, {result.positives} positive",
        f"  AUC          {rate(result.auc, result.auc_ci)}",
        f"  sensitivity  {rate(result.sensitivity, result.sensitivity_ci)}  at threshold {result.threshold:.3f}",
        f"  specificity  {rate(result.specificity, result.specificity_ci)}",
        *(f"  sensitivity  {rate(one.sensitivity, one.sensitivity_ci)}  at specificity {one.specificity:g}"
          for one in result.at_specificity),
        f"  ECE          {rate(result.ece, result.ece_ci)}",
        f"  Brier score  {rate(result.brier, result.brier_ci)}",
    ]  # fmt: skip
    if result.decision_curve is not None:
        useful = result.decision_curve.useful
        span = f"from {useful[0]:g} to {useful[1]:g}" if useful else "at no threshold"
        lines.append(f"  better than treating all or none {span}")
    if result.lesions is not None:
        found = result.lesions
        lines.append(f"  Dice         {rate(found.dice, found.dice_ci)}")
        lines.append(f"  lesions      {rate(found.lesions.value, found.lesions_ci)}  found of {found.lesions.n}, with "
                     f"{found.false_per_film:.2f} false marks a film")  # fmt: skip
    lines += [
        f"  {one.trait} {one.value} ({one.n}): sensitivity {rate(one.sensitivity, one.sensitivity_ci)}, "
        f"specificity {rate(one.specificity, one.specificity_ci)}"
        for one in in_order(result.subgroups)
    ]
    return "\n".join(lines)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``lantern-convert evaluate``."""
    parser.add_argument("pack", type=Path, help="the pack's folder")
    parser.add_argument("--data", type=Path, required=True, help=f"the films: {sources.FORMS}")
    parser.add_argument("--positive", help="the positive class (or label number); else the finding's code")
    parser.add_argument("--split", help="train, val, test (the committed list), or a part that the data has; else all")
    parser.add_argument("--where", metavar="TRAIT=VALUE", help="only films with this trait, such as view=AP")
    parser.add_argument("--runtime", default=RUNTIMES[0], choices=RUNTIMES)
    parser.add_argument(
        "--precision", choices=PRECISIONS, help="default: int8, as the box reads, else the first there is"
    )
    parser.add_argument("--out", type=Path, metavar="FILE.npz", help="keep the predictions there")
    parser.add_argument(
        "--against", metavar="FILE.npz|PRECISION", help="compare, film by film, with kept predictions or a precision"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout instead of a table")


def command(options: argparse.Namespace) -> int:
    """``lantern-convert evaluate`` with :func:`add_arguments`'s options; prints and returns the exit status."""
    pack = Pack.load(options.pack.resolve())
    films, split = chosen_films(pack, options.data, options.positive, options.split)
    if options.where:
        films, split = where(films, options.where), f"{split}[{options.where}]"
    precision = options.precision or usual_precision(pack, options.runtime)
    progress = Progress(f"{pack.name} {precision} {options.runtime}", len(films.films))
    result, predictions = evaluate(pack, films, split, options.runtime, precision, progress.at)
    if options.out:
        predictions.save(options.out)
    compared = _compared(pack, films, options, predictions) if options.against else None
    if options.json:
        told = result.as_dict()
        print(json.dumps(told if compared is None else {**told, "against": plain(compared)}))
    else:
        gates = () if compared is None else compared["gates"]
        print("\n".join((table(result), *(f"  {one['said']}: {one['outcome']}" for one in gates))))
    return 0


def usual_precision(pack: Pack, runtime: str) -> str:
    """The precision that is measured unless told: INT8 where the runtime has a file of it, else the first there is."""
    from firmware_app.packs.shelf import READS_FILES_OF

    names = (runtime, READS_FILES_OF.get(runtime, runtime))
    has = [str(one.precision) for one in pack.manifest.artefacts if one.runtime in names]
    return next((one for one in ("int8", "fp32", "fp16") if one in has), "fp32")


def _compared(pack: Pack, films: FilmSet, options: argparse.Namespace, mine: Predictions) -> dict[str, Any]:
    if options.against in PRECISIONS:
        original = predict(pack, films, options.runtime, options.against)
    else:
        original = Predictions.load(Path(options.against))
    return {"original": options.against, **against(original, mine, pack.manifest.findings[0])}
