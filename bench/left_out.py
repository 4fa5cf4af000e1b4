"""Fit the opacity network with one change at a time, and judge it on films of places that it never saw.

Each fit is EfficientNet-Lite0 from ImageNet's weights, 224 px, on SIIM's films and on the sets beside them that the fit
names. The threshold is the highest that reaches a sensitivity of 0.90 on SIIM films that were held back. It is judged
on these, on New Delhi and NIH's opacities where they were not learnt from (through a head of their own, NIH's films
are), on Hannover's films, which are all positive, and on 1,000 children, who are too young for it. Intervals are 95 %,
whole patients resampled; the gain over the fit `siim` is paired, film by film, where that was made in the same DIR.
The last column: sensitivity / specificity at the threshold that a box sets from 100 films without labels, which have
the finding in a share of 0.1 to 0.5 (docs/decisions/local-calibration.md).

    python -m bench.left_out --data DATA [--fit NAME ...] [--epochs N] [--work DIR] [--json]

DATA holds chest-xray-siim, and what is there of chest-xray-nitrd, chest-xray-nih, chest-xray-hannover and
chest-xray/kermany224_train. It runs in the converters' environment. A fit goes on where it was stopped, also after
Ctrl-C; a finished one is only read again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from bench import harness, lungs
from converters.data import film_digests, recipe_data, splits
from converters.data.datasets import FilmSet
from converters.data.merged_sets import SOURCE, merged
from converters.data.preprocessing import prepared
from converters.data.recipe_data import labels_of
from converters.evaluation.threshold import usual_scores
from converters.nets import build
from converters.nets.lite import imagenet_weights, load_imagenet
from converters.recipe_tables import Changes, ClassWords, Reader, Train
from converters.statistics import intervals
from converters.training import even_draws, fitting
from converters.training.targets import targets
from converters.training.train import LabelLoss
from converters.workflow.device import memory_kept
from firmware_app.core import operating_point
from firmware_app.imaging.model_input import InputSpec

SIZE: Final = 224
EPOCHS: Final = 8
SEED: Final = 20261123
HELD_BACK: Final = 0.15
SENSITIVITY: Final = 0.90
ASSUMED: Final = 0.3
"""The prevalence that the adults' pack assumes at a clinic."""
PREVALENCES: Final = (0.1, 0.2, 0.3, 0.5)
FIRST: Final = 100
DRAWS: Final = 200
HOME, NEW_DELHI, NIH = "chest-xray-siim", "chest-xray-nitrd", "chest-xray-nih"
OPACITIES: Final = ("Pneumonia", "Consolidation", "Infiltration", "Edema", "Effusion")

RECIPE: Final[Mapping[str, float]] = {"zoom_in": 0.2, "gamma": 0.5, "flip": 0.5}
MACHINE: Final[Mapping[str, float]] = {
    **RECIPE,
    "aspect": 0.25,
    "window": 0.2,
    "resolution": 0.4,
    "sharpness": 0.4,
    "local_contrast": 0.3,
    "borders": 0.3,
    "letters": 0.5,
    "jpeg": 0.5,
}
MILD: Final[Mapping[str, float]] = {
    **MACHINE,
    "window": 0.15,
    "resolution": 0.25,
    "sharpness": 0.25,
    "local_contrast": 0.15,
    "borders": 0.15,
    "letters": 0.25,
    "jpeg": 0.3,
}

HEAD: Final = """\
| fit | judged on | n (positive) | AUC | gain | sensitivity | specificity | at a threshold without labels |
| --- | --- | --- | --- | --- | --- | --- | --- |"""


@dataclass(frozen=True, slots=True)
class LabelledSet:
    """Where a set lies under DATA and how it is read; of one with ``most``, as many films drawn by chance."""

    title: str
    path: str
    reader: Reader
    positive: ClassWords | None
    negative: ClassWords | None = None
    most: int | None = None


SETS: Final[Mapping[str, LabelledSet]] = {
    HOME: LabelledSet("SIIM, held back", HOME, "masks", "opacity", "negative"),
    NEW_DELHI: LabelledSet("New Delhi, tuberculosis", NEW_DELHI, "masks", "tuberculosis", "normal"),
    NIH: LabelledSet("NIH, opacities against No Finding", NIH, "nih-adults", OPACITIES, "No Finding"),
    "hannover": LabelledSet("Hannover, all positive", "chest-xray-hannover", "hannover", None),
    "children": LabelledSet(
        "children, who are too young for it", "chest-xray/kermany224_train", "folder", "PNEUMONIA", most=1000
    ),
}


@dataclass(frozen=True, slots=True)
class WholeFit:
    """What is changed of the plain fit. ``beside``: sets that teach the finding too, ``own_head``: sets that are learnt
    through a head of their own; how often each is drawn (1: as SIIM)."""

    text: str
    change: Mapping[str, float] = field(default_factory=lambda: MACHINE)
    beside: Mapping[str, float] = field(default_factory=dict)
    own_head: Mapping[str, float] = field(default_factory=dict)
    lungs: bool = False
    """Every film is moved onto SIIM's mean and cut to the lungs."""

    @property
    def weights(self) -> dict[str, float]:
        """How often the films of each set but SIIM are drawn."""
        return {**self.beside, **self.own_head}

    def plan(self, epochs: int) -> Train:
        """Small films in the first three quarters of the epochs."""
        return Train(
            epochs=epochs,
            early_epochs=3 * epochs // 4,
            early_size=160,
            batch=32,
            learning_rate=5e-4,
            weight_decay=0.05,
            warmup_steps=40,
            average_steps=100,
            dropout=0.3,
            change=Changes(**self.change),
        )


FITS: Final[Mapping[str, WholeFit]] = {
    "siim": WholeFit("SIIM alone, the recipe's changes", RECIPE),
    "machine": WholeFit("and what names the machine destroyed"),
    "mild": WholeFit("the same, mildly", MILD),
    "lungs": WholeFit("machine, cut to the lungs", lungs=True),
    "nih": WholeFit("machine, NIH's opacities a quarter as often, through the same head", beside={NIH: 0.25}),
    "nih-own-head": WholeFit("machine, NIH's opacities half as often, through their own head", own_head={NIH: 0.5}),
    "new-delhi": WholeFit("machine, New Delhi half as often", beside={NEW_DELHI: 0.5}),
}
PLAIN: Final = next(iter(FITS))


@dataclass(frozen=True)
class Bench:
    """Where the sets are, where films, fits and scores are kept, and how long a fit is."""

    data: Path
    work: Path
    epochs: int = EPOCHS
    size: int = SIZE
    opened: dict[str, FilmSet] = field(default_factory=dict)

    def films(self, name: str) -> FilmSet:
        """A set, in its own words."""
        if name not in self.opened:
            one = SETS[name]
            films = recipe_data.read_by(one.reader, self.data / one.path, one.positive, one.negative)
            if one.most is not None and len(films.films) > one.most:
                drawn = np.random.default_rng(SEED).choice(len(films.films), one.most, replace=False)
                films = replace(films, films=tuple(films.films[row] for row in sorted(drawn)))
            self.opened[name] = films
        return self.opened[name]

    @cached_property
    def parts(self) -> tuple[list[int], list[int]]:
        """Which of SIIM's films are learnt from, and which are held back: whole patients and copies."""
        home = self.films(HOME)
        labels, row = labels_of(home), {film.name: place for place, film in enumerate(home.films)}
        named = {name: int(labels[place]) for name, place in row.items()}
        rest, held = splits.draw(named, recipe_data.grouped(home)[0], HELD_BACK, SEED)
        return [row[name] for name in rest], [row[name] for name in held]

    def pixels(self, name: str, fit: WholeFit) -> NDArray[np.uint8]:
        """(N, H, W) of a set as the fit sees it, prepared once."""
        if not fit.lungs:
            return self._whole(name, self.size)
        kept = self.work / f"{name}.lungs.{self.size}.npy"
        if not kept.is_file():
            larger = self.size * 8 // 5
            atlas = self._whole(HOME, larger).mean(axis=0, dtype=np.float32) / np.float32(255.0)
            np.save(kept, lungs.cut(self._whole(name, larger), atlas, self.size))
        return np.asarray(np.load(kept))

    def _whole(self, name: str, size: int) -> NDArray[np.uint8]:
        kept = self.work / f"{name}.{size}.npy"
        if not kept.is_file():
            np.save(kept, prepared(self.films(name), InputSpec("film", size, size)))
        return np.asarray(np.load(kept))

    def judged(self, name: str) -> Iterator[dict[str, Any]]:
        """The rows of one fit: the films held back from it, and each set that it has not seen."""
        scores, plain, back = self.scores(name), self._kept(PLAIN), _only(self.films(HOME), self.parts[1])
        before = dict(np.load(plain)) if name != PLAIN and plain.is_file() else {}
        cut = intervals.threshold_for_sensitivity(labels_of(back), scores[HOME], SENSITIVITY)
        for one, now in scores.items():
            films = back if one == HOME else self.films(one)
            more = gain(films, now, before[one]) if one in before else {}
            own = {} if one == HOME else unlabelled(labels_of(films), now, labels_of(back), scores[HOME], cut)
            yield {"fit": name, **row(SETS[one].title, films, now, cut), **more, "unlabelled": own}

    def scores(self, name: str) -> dict[str, NDArray[np.float64]]:
        """Set → (N,) logits of its films, of every set that the fit has not seen; fitted where that was not done."""
        fit, kept = FITS[name], self._kept(name)
        if not kept.is_file():
            net, back = self._fitted(name), self.pixels(HOME, fit)[self.parts[1]]
            unseen = [one for one in SETS if one not in (HOME, *fit.weights)]
            for one in unseen:
                if not (self.data / SETS[one].path).is_dir():
                    print(f"{SETS[one].path} is not there: {SETS[one].title} is left out", file=sys.stderr)
            there = [one for one in unseen if (self.data / SETS[one].path).is_dir()]
            of_sets = {one: fitting.predicted(net, self.pixels(one, fit)) for one in there}
            np.savez(kept, allow_pickle=False, **{HOME: fitting.predicted(net, back), **of_sets})
        return dict(np.load(kept))

    def _learnt(self, fit: WholeFit) -> FilmSet:
        return merged(_only(self.films(HOME), self.parts[0]), {one: self.films(one) for one in fit.weights})

    def _content(self, name: str) -> str:
        fit = FITS[name]
        parts = (film_digests.digest(self._learnt(fit).films), self.size, fit.weights, tuple(fit.own_head), fit.lungs)
        return hashlib.sha256(repr((parts, fitting.identity(fit.plan(self.epochs)))).encode()).hexdigest()

    def _kept(self, name: str) -> Path:
        return self.work / f"{name}.{self._content(name)[:12]}.npz"

    def _fitted(self, name: str) -> Any:
        fit, learnt, (rest, held) = FITS[name], self._learnt(FITS[name]), self.parts
        home, plan = self.pixels(HOME, fit), fit.plan(self.epochs)
        seen = np.concatenate([home[rest], *(self.pixels(one, fit) for one in fit.weights)])
        aim = targets(learnt, tuple(fit.own_head))
        aim = replace(aim, weights=np.ones(len(seen), dtype=np.float32))
        sources = [film.values(SOURCE) for film in learnt.films]
        often = {one: fit.weights.get(one, 1.0) for one in sources}
        even = even_draws.shares(name, labels_of(learnt), sources, often, heads=aim.channel.tolist())
        torch.manual_seed(SEED)
        net = build("lite0", findings=1 + len(fit.own_head), dropout=plan.dropout)
        load_imagenet(net, imagenet_weights())
        back = labels_of(_only(self.films(HOME), held))
        films = fitting.Films(seen, home[held], back, even=even if fit.weights else None)
        run = fitting.Run(self.work / f"{name}.pt", name, fitting.identity(plan), SEED, self._content(name))
        return fitting.fit(net, films, LabelLoss(aim, plan), plan, run)


def _only(films: FilmSet, rows: list[int]) -> FilmSet:
    return replace(films, films=tuple(films.films[row] for row in rows))


def gain(films: FilmSet, scores: NDArray[np.float64], plain: NDArray[np.float64]) -> dict[str, Any]:
    """By how much the AUC is above that of the first fit, paired film by film; nothing where the set has none."""
    labels = labels_of(films)
    after, before = intervals.auc(labels, scores), intervals.auc(labels, plain)
    if after is None or before is None:
        return {}
    ranked, other = (intervals.Ranked.of(labels, one) for one in (scores, plain))
    changes = [
        (ranked.auc(weights) or 0.0) - (other.auc(weights) or 0.0)
        for weights in intervals.resamples(labels, [film.patient for film in films.films])
    ]
    return {"gain": after - before, "gain_ci": intervals.limits(changes)}


def unlabelled(
    labels: NDArray[np.int64],
    scores: NDArray[np.float64],
    of_home: NDArray[np.int64],
    home: NDArray[np.float64],
    cut: float,
) -> dict[str, tuple[float, float]]:
    """Prevalence → mean sensitivity and specificity at the threshold that a box sets from films without labels: from
    :data:`FIRST` films drawn at that prevalence, :data:`DRAWS` times; nothing for a set of one class."""
    if len(set(labels.tolist())) < 2:
        return {}
    slope, intercept = intervals.platt(of_home, home)
    odds, usual = slope * scores + intercept, usual_scores(of_home, slope * home + intercept, ASSUMED)
    at_home, rng = operating_point.LogOdds(usual["mean"], usual["spread"]), np.random.default_rng(SEED)
    made = {}
    for share in PREVALENCES:
        rates = []
        for _ in range(DRAWS):
            part = [
                rng.choice(np.flatnonzero(labels == label), round(FIRST * often))
                for label, often in ((1, share), (0, 1.0 - share))
            ]
            first = odds[np.concatenate(part)]
            here = operating_point.LogOdds(float(first.mean()), float(first.std()))
            called = odds >= operating_point.standardise_limit(slope * cut + intercept, at_home, here)
            rates.append((float(called[labels == 1].mean()), float((~called)[labels == 0].mean())))
        sensitivity, specificity = np.mean(rates, axis=0).tolist()
        made[f"{share:g}"] = (sensitivity, specificity)
    return made


def row(name: str, films: FilmSet, scores: NDArray[np.float64], cut: float) -> dict[str, Any]:
    """AUC, sensitivity and specificity of one set; ``None`` for what its films cannot say."""
    labels, people = labels_of(films), [film.patient for film in films.films]
    told: dict[str, Any] = {
        "set": name,
        "n": len(labels),
        "positives": int(labels.sum()),
        "auc": intervals.auc(labels, scores),
        "auc_ci": intervals.auc_interval(labels, scores, people),
    }
    for rate, label in (("sensitivity", 1), ("specificity", 0)):
        right = ((scores >= cut) == label)[labels == label]
        whose = [person for person, one in zip(people, labels, strict=True) if one == label]
        told[rate] = float(right.mean()) if len(right) else None
        told[f"{rate}_ci"] = intervals.rate_interval(right, whose) if len(right) else None
    return told


def line(one: dict[str, Any]) -> str:
    """A row of the table."""

    def cell(key: str, sign: str = "") -> str:
        if one.get(key) is None:
            return "–"
        low, high = one[f"{key}_ci"]
        return f"{one[key]:{sign}.3f} ({low:{sign}.3f} to {high:{sign}.3f})"

    cells = [cell("auc"), cell("gain", "+"), cell("sensitivity"), cell("specificity")]
    own = one.get("unlabelled") or {}
    cells.append("; ".join(f"{share}: {rates[0]:.2f} / {rates[1]:.2f}" for share, rates in own.items()) or "–")
    return f"| {FITS[one['fit']].text} | {one['set']} | {one['n']} ({one['positives']}) | {' | '.join(cells)} |"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.left_out", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--data", type=Path, required=True, metavar="DATA", help=f"the folder that holds {HOME}")
    parser.add_argument("--fit", action="append", choices=FITS, default=[], help="one or more; default: all")
    parser.add_argument("--epochs", type=int, default=EPOCHS, metavar="N", help="default: %(default)s")
    parser.add_argument("--work", type=Path, default=harness.REPOSITORY / "build" / "left-out", metavar="DIR")
    parser.add_argument("--json", action="store_true", help="one JSON array on stdout")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    bench, rows = Bench(options.data, options.work, options.epochs), []
    if not options.json:
        print(HEAD, flush=True)
    with memory_kept():
        for name in options.fit or FITS:
            for one in bench.judged(name):
                rows.append(one)
                if not options.json:
                    print(line(one), flush=True)
    if options.json:
        print(json.dumps(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
