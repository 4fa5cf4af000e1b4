"""How well does a network read a source that it never saw, with one change in what it sees or how it learns?

A screening, far smaller than the recipe: EfficientNet-Lite0 keeps ImageNet's weights and only its last layer learns, by
logistic regression on the features of each film of 160 px and of a copy moved by chance, with the recipe's targets
and weights. Each change is fitted without early patients and without late ones, with two seeds, and judged on the
source left out; `none` is the same without a change. A figure is the mean AUC of the seeds, its 95 % interval by
resampling whole patients; the gain over `none` is paired, film by film. What a change would do deeper in the network is
not seen.

    python -m bench.left_out --data DATA [--change NAME ...] [--seeds N] [--work DIR] [--json]
    python -m bench.left_out --data DATA --fit NAME [--fit NAME ...] [--work DIR] [--json]

The second form fits whole networks (:mod:`bench.left_out_fits`).
DATA holds chest-xray-nih. It runs in the converters' environment, one change in about half a minute of a core. What
lies in DIR (build/left-out) is not made again: delete it after changing anything.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from bench import harness, left_out_fits
from bench.left_out_changes import CHANGES, Change, Films, Scene, Vary
from converters.data import readers
from converters.data.datasets import FilmSet
from converters.data.preprocessing import inputs
from converters.data.recipe_data import labels_of
from converters.data.splits import Fold
from converters.recipe import load_recipe
from converters.statistics import intervals
from converters.training import teacher_inference, train
from converters.training.augment import Affine
from converters.training.leave_out import left_out
from converters.training.targets import any_finding
from converters.workflow.recipe_run import RecipeRun

RECIPE: Final = Path(__file__).parent / "left-out.toml"
NIH: Final = "chest-xray-nih"
TRAIT: Final = "patients"
NONE: Final = "none"
SIZE: Final = 160
BATCH: Final = 64
HEADER: Final = ("OriginalImage[Width", "Height]", "OriginalImagePixelSpacing[x", "Patient Age", "Follow-up #")

HEAD: Final = """\
| change | early left out | gain | within a view | late left out | gain | within a view |
| --- | --- | --- | --- | --- | --- | --- |"""

Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Source:
    """A source left out: its films' labels, patients and views, and the scores of each seed, (S, N), with the change
    and without."""

    value: str
    labels: NDArray[np.int64]
    patients: tuple[str, ...]
    views: NDArray[np.str_]
    scores: Scores
    plain: Scores

    def as_dict(self) -> dict[str, Any]:
        each = [intervals.auc(self.labels, one) or 0.0 for one in self.scores]
        without = [intervals.auc(self.labels, one) or 0.0 for one in self.plain]
        ranked, before = ([intervals.Ranked.of(self.labels, one) for one in rows] for rows in (self.scores, self.plain))
        drawn, changes = [], []
        for weights in intervals.resamples(self.labels, self.patients):
            drawn.append(fmean(one.auc(weights) or 0.0 for one in ranked))
            changes.append(drawn[-1] - fmean(one.auc(weights) or 0.0 for one in before))
        return {
            "source": self.value, "n": len(self.labels), "positives": int(self.labels.sum()), "auc": fmean(each),
            "ci": intervals.limits(drawn), "seeds": each, "within_view": fmean(map(self._within_view, self.scores)),
            "gain": fmean(each) - fmean(without), "gain_ci": intervals.limits(changes),
        }  # fmt: skip

    def _within_view(self, scores: Scores) -> float:
        """The AUC over pairs of films of one view: what knowing the view alone gives is not in it."""
        pairs, right = 0.0, 0.0
        for view in np.unique(self.views):
            here = self.views == view
            count = float(self.labels[here].sum() * (1 - self.labels[here]).sum())
            pairs, right = pairs + count, right + count * (intervals.auc(self.labels[here], scores[here]) or 0.0)
        return right / pairs


@dataclass(frozen=True)
class Screening:
    """The films, and where scores and features are kept."""

    data: Path
    work: Path
    runs: dict[str, RecipeRun] = field(default_factory=dict)
    ready: dict[str, Films] = field(default_factory=dict)
    """The films that were prepared last."""

    def run(self, change: Change) -> RecipeRun:
        """The recipe's films as the change's input has them; those of one input are prepared once."""
        recipe = load_recipe(RECIPE)
        given = recipe.input.model_copy(update={"size": SIZE, **change.input})
        word = given.model_dump_json()
        if word not in self.runs:
            made = RecipeRun(recipe.model_copy(update={"input": given}), RECIPE.parent, self.data / NIH, self.work)
            for other in list(self.runs.values())[:1]:  # how films are divided does not depend on the input
                made.__dict__["dataset"] = other.dataset
            self.runs[word] = made
        return self.runs[word]

    def sources(self, name: str, seeds: int) -> list[Source]:
        """The change called *name*, and `none`, on every source that can be left out."""
        run = self.run(CHANGES[NONE])
        found = []
        for value, one in left_out(run, TRAIT).items():
            films = run.films(one.fold.held)
            people = tuple(film.patient for film in films.films)
            views = np.array([dict(film.traits)["view"] for film in films.films])
            scores, plain = (
                np.stack([self.scored(each, value, one.fold, seed) for seed in range(seeds)]) for each in (name, NONE)
            )
            found.append(Source(value, labels_of(films), people, views, scores, plain))
        return found

    def scored(self, name: str, value: str, fold: Fold, seed: int) -> Scores:
        """(N,) scores of the films of the source *value* by last layers that have not seen it."""
        change = CHANGES[name]
        if change.of:
            several = range(seed * change.members, (seed + 1) * change.members)
            each = [_standard(self.scored(one, value, fold, number)) for one in change.of for number in several]
            return np.asarray(np.mean(each, axis=0), dtype=np.float64)
        kept = self.work / f"{name}.{value}.{seed}.npy"
        if kept.is_file():
            return np.asarray(np.load(kept), dtype=np.float64)
        run = self.run(change)
        assert run.recipe.train is not None
        plan = run.recipe.train.model_copy(update=dict(change.plan))
        recipe = run.recipe.model_copy(update={"train": plan})
        films, seen = every_film(run), self.features(name, seed)
        at = {film.name: row for row, film in enumerate(run.films(fold.held).films)}
        scores = np.empty(len(at))
        for one in change.folds(run, fold):
            rows = [at[film.name] for film in films.only(one.held).films]
            scores[rows] = change.learn(Scene(films, seen, headers(run), one, recipe))
        np.save(kept, scores)
        return scores

    def pixels(self, word: str, change: Change) -> Films:
        """(N, H, W) all films as the change has them; *word* is what it shares them by."""
        if word not in self.ready:
            run = self.run(change)
            plain = run.array(every_film(run))
            self.ready.clear()
            self.ready[word] = plain if change.prepare is None else change.prepare(plain, headers(run))
        return self.ready[word]

    def features(self, name: str, seed: int) -> NDArray[np.float32]:
        """(2, N, F) of all films outside the test part, unvaried and varied; changes that see the same films share
        them."""
        change, run = CHANGES[name], self.run(CHANGES[name])
        seen = name if change.prepare else f"{run.recipe.input.size}-{run.recipe.input.resize}"
        copies = {f"{seen}.plain": None, f"{name if change.vary else seen}.{seed}": seed}
        made = []
        for word, number in copies.items():
            kept = self.work / f"{word}.features.npy"
            if not kept.is_file():
                begun = time.process_time()
                np.save(kept, features(run, self.pixels(seen, change), change.vary, number))
                harness.progress(f"{word}: {time.process_time() - begun:.0f} s of a core")
            made.append(np.load(kept))
        return np.stack(made)


def every_film(run: RecipeRun) -> FilmSet:
    """All films outside the test part."""
    return run.films((*run.dataset.division.part("train"), *run.dataset.division.part("val")))


def headers(run: RecipeRun) -> NDArray[np.float64]:
    """(N, 7): width, height and pixel spacing of the original, age, number of the visit, AP or not, male or not."""
    rows = readers.rows_by_file(run.data / "labels.csv")
    known = [rows[film.name] for film in every_film(run).films]
    numbers = [[float(row[column]) for column in HEADER] for row in known]
    words = [[row["View Position"] == "AP", row["Patient Gender"] == "M"] for row in known]
    return np.concatenate([np.array(numbers), np.array(words, dtype=np.float64)], axis=1)


def features(run: RecipeRun, pixels: Films, vary: Vary | None, seed: int | None) -> NDArray[np.float32]:
    """(N, F): ImageNet's features of each film, *pixels*, as it is or, with a *seed*, moved and varied by chance.

    Films of one source are varied together: what mixes films never mixes in those of another one.
    """
    assert run.recipe.train is not None
    net = train.beginning(run.recipe, str(run.recipe.net.student), 1, run.near)
    films = every_film(run)
    ask, rng = teacher_inference.of(net, torch.from_numpy(inputs(pixels[:2]))), torch.Generator().manual_seed(seed or 0)
    values = np.array([dict(film.traits)[TRAIT] for film in films.films])
    made = np.empty((len(pixels), net.cam.in_channels), dtype=np.float32)
    for value in np.unique(values):
        for rows in torch.from_numpy(np.flatnonzero(values == value)).split(BATCH):
            seen = torch.from_numpy(inputs(pixels[rows.numpy()]))
            if seed is not None:
                seen = Affine.drawn(len(seen), run.recipe.train.change, rng).films(seen)
                seen = seen if vary is None else vary(seen, rng)
            made[rows.numpy()] = ask(seen)[1].numpy()
    return made


def _standard(scores: Scores) -> Scores:
    return np.asarray((scores - scores.mean()) / scores.std(), dtype=np.float64)


def published(screening: Screening) -> list[dict[str, Any]]:
    """How well the published network's own opinion does on those films of each source that carry it."""
    run = screening.run(CHANGES[NONE])
    rows = []
    for value, one in left_out(run, TRAIT).items():
        films = [film for film in run.films(one.fold.held).films if film.teacher is not None]
        labels = np.array([film.label for film in films])
        odds = any_finding(np.array([film.teacher for film in films]))
        interval = intervals.auc_interval(labels, odds, [film.patient for film in films])
        rows.append({"source": value, "n": len(films), "positives": int(labels.sum()),
                     "auc": intervals.auc(labels, odds), "ci": interval})  # fmt: skip
    return rows


def figure(row: dict[str, Any], name: str = "auc", interval: str = "ci", sign: str = "") -> str:
    """A value and its interval as the page's table has it."""
    low, high = row[interval]
    return f"{row[name]:{sign}.3f} ({low:{sign}.3f} to {high:{sign}.3f})"


def line(text: str, rows: list[dict[str, Any]]) -> str:
    """A row of the page's table."""
    cells = [f"{figure(one)} | {figure(one, 'gain', 'gain_ci', '+')} | {one['within_view']:.3f}" for one in rows]
    return f"| {text} | {' | '.join(cells)} |"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.left_out", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--data", type=Path, required=True, metavar="DATA", help=f"the folder that holds {NIH}")
    parser.add_argument("--change", action="append", choices=CHANGES, default=[], help="one or more; default: all")
    parser.add_argument("--fit", action="append", choices=left_out_fits.FITS, default=[], help="whole fits instead")
    parser.add_argument("--seeds", type=int, default=2, metavar="N", help="default: %(default)s")
    parser.add_argument("--work", type=Path, default=harness.REPOSITORY / "build" / "left-out", metavar="DIR")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    options = parser.parse_args()
    if options.fit:
        rows = left_out_fits.run(options.data, options.work / "fits", options.fit, as_json=options.json)
        if options.json:
            print(json.dumps(rows))
        return 0
    options.work.mkdir(parents=True, exist_ok=True)
    screening = Screening(options.data, options.work)
    found: dict[str, Any] = {"published model": published(screening)}
    if not options.json:
        for row in found["published model"]:
            print(f"the published model itself, {row['source']}, {row['n']} films with its opinion: {figure(row)}")
        print(HEAD, flush=True)
    for name in options.change or CHANGES:
        rows = [one.as_dict() for one in screening.sources(name, options.seeds)]
        found[name] = rows
        if not options.json:
            print(line(CHANGES[name].text, rows), flush=True)
    if options.json:
        print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
