"""Does the activation map show what decides? Parts of a film are covered, and the change of the logit is measured.

Slow, model-agnostic, never on the box: *occlusion* slides a grey patch over the film and notes how far the logit falls
(Zeiler & Fergus 2014); *LIME* covers random sets of segments and fits a weighted ridge regression to the logits
(Ribeiro et al. 2016), here with the cells of a grid as segments, since films have no clean superpixels.  Both are
compared with the class activation map by rank, since their units differ.
"""

import base64
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from converters.data.datasets import Film
from converters.data.preprocessing import round_to_bytes
from converters.statistics.intervals import midranks
from firmware_app.imaging.model_input import InputSpec, squash, to_model_input
from firmware_app.packs.runtimes.interface import Session
from firmware_app.packs.tasks import classify
from firmware_app.packs.tasks.classify import FindingSpec

GRID = 14
"""Cells on a side: those of the packs' own activation maps."""
PATCH_CELLS = 3
SAMPLES = 500
COVERED = 0.3
KERNEL_WIDTH = 0.25
RIDGE = 1.0

Grid = NDArray[np.float64]
Ask = Callable[[NDArray[np.float32]], float]
"""(1, 1, H, W) model input → logit."""


def occlusion(film: NDArray[np.float32], ask: Ask, grid: int = GRID, cells: int = PATCH_CELLS) -> Grid:
    """(grid, grid): how far the logit falls when a patch of ``cells`` x ``cells`` around each cell is grey.

    ``film`` is a model input (1, 1, H, W); the grey is its mean.
    """
    height, width = film.shape[-2:]
    whole, grey = ask(film), np.float32(film.mean())
    fall = np.empty((grid, grid), dtype=np.float64)
    before, after = (cells - 1) // 2, cells // 2 + 1
    for row in range(grid):
        for column in range(grid):
            covered = film.copy()
            top, left = max(0, row - before) * height // grid, max(0, column - before) * width // grid
            foot, right = (row + after) * height // grid, (column + after) * width // grid
            covered[..., top:foot, left:right] = grey
            fall[row, column] = whole - ask(covered)
    return fall


def lime(film: NDArray[np.float32], ask: Ask, grid: int = GRID, samples: int = SAMPLES, seed: int = 0) -> Grid:
    """(grid, grid): the weight of each segment in a local linear model of the logit.

    Samples count by ``exp(-d² / width²)``, d the cosine distance of their set of segments from the whole film.
    """
    rng = np.random.default_rng(seed)
    kept = rng.random((samples, grid * grid)) >= COVERED
    kept[0] = True
    height, width = film.shape[-2:]
    rows, columns = np.arange(height) * grid // height, np.arange(width) * grid // width
    grey = np.float32(film.mean())
    answers = np.empty(samples, dtype=np.float64)
    for number, segments in enumerate(kept):
        shown = segments.reshape(grid, grid)[np.ix_(rows, columns)]
        answers[number] = ask(np.where(shown, film, grey).astype(np.float32))
    distance = 1.0 - np.sqrt(kept.mean(axis=1))
    nearness = np.exp(-((distance / KERNEL_WIDTH) ** 2))
    design = kept.astype(np.float64)
    design -= np.average(design, axis=0, weights=nearness)
    answers -= np.average(answers, weights=nearness)
    curvature = (design * nearness[:, np.newaxis]).T @ design + RIDGE * np.eye(grid * grid)
    return np.asarray(np.linalg.solve(curvature, design.T @ (nearness * answers)).reshape(grid, grid))


def spearman(one: NDArray[Any], other: NDArray[Any]) -> float | None:
    """Rank correlation (Spearman 1904), ties share their mean rank; ``None`` where either is flat."""
    first, second = (midranks(np.asarray(values, dtype=np.float64).ravel()) for values in (one, other))
    first, second = first - first.mean(), second - second.mean()
    size = float(np.sqrt((first @ first) * (second @ second)))
    return float(first @ second) / size if size > 0.0 else None


@dataclass(frozen=True, slots=True)
class Model:
    """A loaded model file, its input, the finding to explain, and the name of its map output."""

    session: Session
    spec: InputSpec
    finding: FindingSpec
    output: str

    def logit(self, seen: NDArray[np.float32]) -> float:
        """The finding's logit of a model input (1, 1, H, W)."""
        return classify.finding_logit(self.session.infer({self.spec.name: seen})[self.output][0], self.finding)

    def map(self, seen: NDArray[np.float32]) -> NDArray[np.float32]:
        """The finding's map (h, w) of a model input, in logits."""
        cells = self.session.infer({self.spec.name: seen})[self.output][0, self.finding.channel]
        return np.asarray(cells, dtype=np.float32)


def compare(model: Model, films: Sequence[Film], samples: int = SAMPLES) -> dict[str, Any]:
    """Rank correlation of the activation map with occlusion and with LIME over ``films``, by the method's name.

    A film with a flat map is left out.  Median with the 5th and 95th percentile.
    """
    correlations: dict[str, list[float]] = {"occlusion": [], "lime": []}
    for film in films:
        seen = film.tensor(model.spec)
        shown = squash(model.map(seen), GRID, GRID)
        covered = {"occlusion": occlusion(seen, model.logit), "lime": lime(seen, model.logit, samples=samples)}
        for name, drawn in covered.items():
            agreed = spearman(shown, drawn)
            if agreed is not None:
                correlations[name].append(agreed)
    return {name: _summary(values) for name, values in correlations.items() if values}


def example(model: Model, frame: NDArray[np.float32]) -> dict[str, Any]:
    """One film as the model sees it (PNG, base64) with its three maps, for the report.

    ``frame`` is (H, W) greys.  Give it only images of no patient, such as those of
    :mod:`converters.synthetic_images.phantom`: they are kept in the report.
    """
    seen = to_model_input(frame, model.spec)
    picture = io.BytesIO()
    Image.fromarray(round_to_bytes(seen)).save(picture, "PNG", optimize=True)
    grids = {"map": model.map(seen), "occlusion": occlusion(seen, model.logit), "lime": lime(seen, model.logit)}
    maps = {name: np.round(np.asarray(grid, dtype=np.float64), 4).tolist() for name, grid in grids.items()}
    return {"film": base64.b64encode(picture.getvalue()).decode(), **maps}


def _summary(values: Sequence[float]) -> dict[str, Any]:
    low, middle, high = np.percentile(values, (5, 50, 95))
    return {
        "median": round(float(middle), 4),
        "low": round(float(low), 4),
        "high": round(float(high), 4),
        "films": len(values),
    }
