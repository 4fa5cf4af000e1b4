"""Whole fits of the opacity network, one change at a time, judged on sources that it never saw.

Each fits EfficientNet-Lite0 from ImageNet's weights on SIIM's films (and on those beside them that the change names),
and reads New Delhi's and NIH's opacities where they were left out, and the SIIM films that were held back. The
threshold is the highest that reaches a sensitivity of 0.90 on the latter. Intervals are 95 %, whole patients resampled;
the gain over the fit `siim` is paired, film by film, where that was made in the same DIR.

    python -m bench.left_out --data DATA --fit NAME [--fit NAME ...] [--work DIR] [--json]

DATA holds chest-xray-siim, chest-xray-nitrd and chest-xray-nih. It runs in the converters' environment. A fit goes on
where it was stopped, also after Ctrl-C; a finished one is only read again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from bench import harness
from bench.left_out_changes import onto
from converters.data import film_digests, recipe_data, splits
from converters.data.datasets import FilmSet
from converters.data.merged_sets import merged
from converters.data.preprocessing import prepared
from converters.data.recipe_data import labels_of
from converters.nets import build
from converters.nets.lite import imagenet_weights, load_imagenet
from converters.recipe import Changes, ClassWords, Reader, Train
from converters.statistics import intervals
from converters.training import even_draws, fitting
from converters.training.targets import targets
from converters.training.train import LabelLoss
from firmware_app.imaging.model_input import InputSpec

HOME: Final = "chest-xray-siim"
SIZE: Final = 160
BEFORE_CUTTING: Final = 256
"""Of films that are cut to the lungs: what is left is 160 px."""
AT_ONCE: Final = 256
SEED: Final = 20261123
HELD_BACK: Final = 0.15
SENSITIVITY: Final = 0.90
SETS: Final[Mapping[str, tuple[Reader, ClassWords, ClassWords]]] = {
    HOME: ("masks", "opacity", "negative"),
    "chest-xray-nitrd": ("masks", "tuberculosis", "normal"),
    "chest-xray-nih": (
        "nih-adults", ("Pneumonia", "Consolidation", "Infiltration", "Edema", "Effusion"), "No Finding",
    ),
}  # fmt: skip
TODAY: Final[Mapping[str, float]] = {"zoom_in": 0.2, "gamma": 0.5, "flip": 0.5}
MACHINE: Final[Mapping[str, float]] = {
    **TODAY, "aspect": 0.25, "window": 0.2, "resolution": 0.4, "sharpness": 0.4, "local_contrast": 0.3, "borders": 0.3,
    "letters": 0.5, "jpeg": 0.5,
}  # fmt: skip

HEAD: Final = """\
| fit | judged on | n (positive) | AUC | gain over the first | sensitivity | specificity |
| --- | --- | --- | --- | --- | --- | --- |"""


@dataclass(frozen=True, slots=True)
class WholeFit:
    """What is changed of the plain fit; ``beside``: sets that are learnt from too, and how often (1: as SIIM)."""

    text: str
    change: Mapping[str, float] = field(default_factory=lambda: TODAY)
    beside: Mapping[str, float] = field(default_factory=dict)
    lungs: bool = False
    """Every film is moved onto SIIM's mean and cut to the lungs."""

    @property
    def plan(self) -> Train:
        """About 400 steps: small films first."""
        return Train(
            epochs=4, early_epochs=3, early_size=128, batch=24, learning_rate=5e-4, weight_decay=0.05, warmup_steps=40,
            average_steps=60, dropout=0.3, change=Changes(**self.change),
        )  # fmt: skip


FITS: Final[Mapping[str, WholeFit]] = {
    "siim": WholeFit("SIIM alone, as the adult pack's films are changed today"),
    "siim-machine": WholeFit("the same, with what names the machine destroyed", MACHINE),
    "siim-lungs": WholeFit("the same, cut to the lungs", MACHINE, lungs=True),
    "siim-nih": WholeFit("the same, NIH's opacities beside it, a quarter as often", MACHINE, {"chest-xray-nih": 0.25}),
    "siim-nitrd": WholeFit("the same, New Delhi beside it, a quarter as often", MACHINE, {"chest-xray-nitrd": 0.25}),
}


@dataclass(frozen=True)
class Bench:
    """Where the sets are, and where films, fits and scores are kept."""

    data: Path
    work: Path

    def films(self, name: str) -> FilmSet:
        """A set, in its own words."""
        return recipe_data.read_by(SETS[name][0], self.data / name, *SETS[name][1:])

    def pixels(self, name: str, fit: WholeFit) -> NDArray[np.uint8]:
        """(N, H, W) of a set as the fit sees it, prepared once."""
        if not fit.lungs:
            return self._whole(name, SIZE)
        kept = self.work / f"{name}.lungs.npy"
        if not kept.is_file():
            atlas = self._whole(HOME, BEFORE_CUTTING).mean(axis=0, dtype=np.float32) / np.float32(255.0)
            films = self._whole(name, BEFORE_CUTTING)
            parts = range(0, len(films), AT_ONCE)
            np.save(kept, np.concatenate([onto(films[one : one + AT_ONCE], atlas[None, None]) for one in parts]))
        return np.asarray(np.load(kept))

    def _whole(self, name: str, size: int) -> NDArray[np.uint8]:
        kept = self.work / f"{name}.{size}.npy"
        if not kept.is_file():
            np.save(kept, prepared(self.films(name), InputSpec("film", size, size)))
        return np.asarray(np.load(kept))

    def judged(self, name: str) -> list[dict[str, Any]]:
        """The rows of one fit: each set that it has not seen, and the films held back from it."""
        fit, home = FITS[name], self.films(HOME)
        rest, held = splits.draw(
            {film.name: film.label for film in home.films}, recipe_data.grouped(home)[0], HELD_BACK, SEED
        )
        self._fitted(name, fit, home, rest, held)
        back, plain = home.only(held), next(iter(FITS))
        cut = intervals.threshold_for_sensitivity(labels_of(back), np.load(self._kept(name, HOME)), SENSITIVITY)
        rows = []
        for one in (HOME, *(other for other in SETS if other not in (HOME, *fit.beside))):
            films = back if one == HOME else self.films(one)
            scores, before = np.load(self._kept(name, one)), self._kept(plain, one)
            title = f"{one}, held back" if one == HOME else one
            more = gain(films, scores, np.load(before)) if name != plain and before.is_file() else {}
            rows.append({"fit": name, **row(title, films, scores, cut), **more})
        return rows

    def _kept(self, name: str, of_set: str) -> Path:
        return self.work / f"{name}.{of_set}.scores.npy"

    def _fitted(
        self, name: str, fit: WholeFit, home: FilmSet, rest: tuple[str, ...], held: tuple[str, ...]
    ) -> None:  # fmt: skip
        """Fit, and write the scores of the held-back films and of every set that was not learnt from."""
        at, pixels = {film.name: place for place, film in enumerate(home.films)}, self.pixels(HOME, fit)
        back = pixels[[at[one] for one in held]]
        learnt = merged(home.only(rest), {one: self.films(one) for one in fit.beside})
        seen = np.concatenate([pixels[[at[one] for one in rest]], *(self.pixels(one, fit) for one in fit.beside)])
        shares, aim = None, targets(learnt, 0.0, None)
        if fit.beside:
            values = [film.values("source") for film in learnt.films]
            shares = even_draws.shares(
                name, labels_of(learnt), values, {one: fit.beside.get(one, 1.0) for one in values}
            )
            aim = replace(aim, weights=np.ones(len(values), dtype=np.float32))
        content = hashlib.sha256(
            repr((film_digests.digest(learnt.films), SIZE, *(("lungs",) if fit.lungs else ()))).encode()
        ).hexdigest()
        torch.manual_seed(SEED)
        net = build("lite0", findings=1, dropout=fit.plan.dropout)
        load_imagenet(net, imagenet_weights())
        films = fitting.Films(seen, back, labels_of(home.only(held)), even=shares)
        kept = fitting.Run(self.work / f"{name}.pt", name, fitting.identity(fit.plan), SEED, content)
        net = fitting.fit(net, films, LabelLoss(aim, fit.plan), fit.plan, kept)
        np.save(self._kept(name, HOME), fitting.predicted(net, back))
        for one in SETS:
            if one != HOME and one not in fit.beside:
                np.save(self._kept(name, one), fitting.predicted(net, self.pixels(one, fit)))


def gain(films: FilmSet, scores: NDArray[np.float64], plain: NDArray[np.float64]) -> dict[str, Any]:
    """By how much the AUC is above that of the first fit, paired film by film."""
    labels = labels_of(films)
    now, before = (intervals.Ranked.of(labels, one) for one in (scores, plain))
    changes = [
        (now.auc(weights) or 0.0) - (before.auc(weights) or 0.0)
        for weights in intervals.resamples(labels, [film.patient for film in films.films])
    ]
    whole = (intervals.auc(labels, scores) or 0.0) - (intervals.auc(labels, plain) or 0.0)
    return {"gain": whole, "gain_ci": intervals.limits(changes)}


def row(name: str, films: FilmSet, scores: NDArray[np.float64], cut: float) -> dict[str, Any]:
    """AUC, sensitivity and specificity of one set."""
    labels, people = labels_of(films), [film.patient for film in films.films]
    positive = labels == 1
    called = scores >= cut
    found, cleared = called[positive], ~called[~positive]
    whose = [[person for person, one in zip(people, part, strict=True) if one] for part in (positive, ~positive)]
    return {
        "set": name, "n": len(labels), "positives": int(labels.sum()),
        "auc": intervals.auc(labels, scores), "auc_ci": intervals.auc_interval(labels, scores, people),
        "sensitivity": float(found.mean()), "sensitivity_ci": intervals.rate_interval(found, whose[0]),
        "specificity": float(cleared.mean()), "specificity_ci": intervals.rate_interval(cleared, whose[1]),
    }  # fmt: skip


def line(one: dict[str, Any]) -> str:
    """A row of the table."""

    def cell(key: str, sign: str = "") -> str:
        if key not in one:
            return "–"
        low, high = one[f"{key}_ci"]
        return f"{one[key]:{sign}.3f} ({low:{sign}.3f} to {high:{sign}.3f})"

    cells = [cell("auc"), cell("gain", "+"), cell("sensitivity"), cell("specificity")]
    return f"| {FITS[one['fit']].text} | {one['set']} | {one['n']} ({one['positives']}) | {' | '.join(cells)} |"


def run(data: Path, work: Path, names: list[str], *, as_json: bool) -> list[dict[str, Any]]:
    """Fit and judge; prints a row for each set, or nothing where JSON is wanted."""
    work.mkdir(parents=True, exist_ok=True)
    bench, rows = Bench(data, work), []
    if not as_json:
        print(HEAD, flush=True)
    for name in names:
        harness.progress(f"{name}: {FITS[name].text}")
        for one in bench.judged(name):
            rows.append(one)
            if not as_json:
                print(line(one), flush=True)
    return rows
