"""How good a pack is on labelled films, in one runtime and precision. Needs no PyTorch.

The films go the way they go on the box: the same preprocessing, the same runtime module, the same pooling and
calibration, the pack's own frozen threshold. Nothing is fitted here.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from converters import datasets, material, splits, statistics
from converters.datasets import FilmSet
from converters.failures import DataUnreadable
from converters.recipe import load_recipe
from firmware_app.imaging.model_input import to_model_input
from firmware_app.packs.shelf import Pack
from firmware_app.runtimes import choice
from firmware_app.tasks import classify

RECIPES = Path(__file__).parent / "recipes"
DIGITS = 4


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One row of a card. Rates and intervals are fractions; ``None`` where they do not apply."""

    pack: str
    runtime: str
    precision: str
    split: str
    n: int
    positives: int
    auc: float | None
    auc_ci: tuple[float, float] | None
    threshold: float
    sensitivity: float | None
    sensitivity_ci: tuple[float, float] | None
    specificity: float | None
    specificity_ci: tuple[float, float] | None
    dice: float | None = None
    lesion_sensitivity: float | None = None
    false_positives_per_image: float | None = None

    def as_dict(self) -> dict[str, object]:
        """The contract's object, numbers to four places."""
        return {name: _rounded(value) for name, value in asdict(self).items()}


def _rounded(value: object) -> object:
    if isinstance(value, float):
        return round(value, DIGITS)
    return [_rounded(item) for item in value] if isinstance(value, tuple) else value


def maps(
    pack: Pack, films: FilmSet, runtime: str, precision: str, tick: Callable[[int], None] = lambda _: None
) -> list[NDArray[np.float32]]:
    """The activation map (C, h, w) of every film; ``tick`` is told how many are done."""
    session = choice.get(runtime).load(pack.artefact(runtime, precision))
    spec, output = pack.manifest.input, pack.manifest.output.map
    found: list[NDArray[np.float32]] = []
    for film in films.films:
        found.append(session.infer({spec.name: to_model_input(film.read(), spec)})[output][0])
        tick(len(found))
    return found


def evaluate(
    pack: Pack, films: FilmSet, split: str, runtime: str, precision: str, tick: Callable[[int], None] = lambda _: None
) -> Evaluation:
    """Score the pack's first finding on ``films``. Raises :class:`DataUnreadable` without any film."""
    if not films.films:
        raise DataUnreadable(films.name, "there are no films")
    spec = pack.manifest.findings[0]
    found = maps(pack, films, runtime, precision, tick)
    scores = np.array([classify.probability(classify.logit(one, spec), spec.calibration) for one in found])
    labels = material.labels_of(films)
    sensitivity, specificity = statistics.at_threshold(labels, scores, spec.threshold)
    return Evaluation(
        pack=pack.name, runtime=runtime, precision=precision, split=split, n=len(labels), positives=int(labels.sum()),
        auc=statistics.auc(labels, scores),
        auc_ci=statistics.auc_interval(labels, scores, [film.patient for film in films.films]),
        threshold=spec.threshold,
        sensitivity=sensitivity.value, sensitivity_ci=sensitivity.interval,
        specificity=specificity.value, specificity_ci=specificity.interval,
    )  # fmt: skip


def chosen_films(pack: Pack, data: Path, positive: str | None, split: str | None) -> tuple[FilmSet, str]:
    """The films to score and the name of what was chosen.

    ``data`` may be an image folder, an NIH-form folder or a MedMNIST-form ``.npz``. ``split`` is ``train``, ``val`` or
    ``test`` of the pack's recipe (its test part is the committed list), ``under-18`` of an NIH-form folder, or a split
    of the ``.npz``; without it all films count. ``positive`` names the positive class folder (else the finding's code).
    """
    word = positive or pack.manifest.findings[0].code
    if data.suffix == ".npz":
        return datasets.medmnist(data, split or "test", positive), split or "test"
    films = datasets.open_films(data, word, split)
    if split == "test":
        return films.only(splits.frozen_test(pack.name) or _refuse(pack, "no test part was ever frozen")), "test"
    if split in ("train", "val"):
        recipe = RECIPES / f"{pack.name}.toml"
        opened = material.open_material(load_recipe(recipe), data)
        return opened.part(split), split
    return films, split or "all"


def where(films: FilmSet, condition: str) -> FilmSet:
    """Only the films with a trait, ``view=AP``. Raises :class:`DataUnreadable` when none has it."""
    name, _, value = condition.partition("=")
    kept = tuple(film for film in films.films if dict(film.traits).get(name) == value)
    if not kept:
        raise DataUnreadable(films.name, f"no film has {condition}")
    return FilmSet(films.name, films.positive, kept)


def _refuse(pack: Pack, why: str) -> tuple[str, ...]:
    raise DataUnreadable(pack.name, why)


def table(result: Evaluation) -> str:
    """The result for a person."""

    def rate(value: float | None, interval: tuple[float, float] | None) -> str:
        return "not defined" if value is None or interval is None else (
            f"{value:.3f}  (95 % interval {interval[0]:.3f} to {interval[1]:.3f})"
        )  # fmt: skip

    heading = f"{result.pack}, {result.precision} in {result.runtime}, {result.split}"
    return "\n".join((
        f"{heading}: {result.n} films, {result.positives} positive",
        f"  AUC          {rate(result.auc, result.auc_ci)}",
        f"  sensitivity  {rate(result.sensitivity, result.sensitivity_ci)}  at threshold {result.threshold:.3f}",
        f"  specificity  {rate(result.specificity, result.specificity_ci)}",
    ))  # fmt: skip
