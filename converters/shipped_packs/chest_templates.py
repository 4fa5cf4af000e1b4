"""Learn templates of frontal chest films at 16 × 16 pixels: for their orientation, and for films that are cut off.

    python -m converters.shipped_packs.chest_templates --data FOLDER

FOLDER holds `chest-xray/kermany224_train` (children, CC BY 4.0) and `chest-xray-nih` (adults, free use with
attribution).  Half of the patients, by a checksum of their number, are learnt from; docs/decisions/quality.md
judges on the others.  Writes `firmware_app/imaging/chest.npz`: a few hundred weights and two average films,
which identify nobody.
"""

from __future__ import annotations

import argparse
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from converters.data import datasets
from converters.data.datasets import Film
from firmware_app.imaging import quality_measures
from firmware_app.imaging.quality_measures import ReducedFrame

Grey = NDArray[np.float32]
Matrix = NDArray[np.float64]

EVERY_CHILD: Final = 2
"""Kermany has four children's films for one adult's of NIH."""
SHARES: Final = (0.25, 0.35, 0.45)
SIDES: Final = ("left", "right", "top", "bottom")
_RIDGE: Final = 2e-3
_STEPS: Final = 25
_DAMPING: Final = 0.7


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m converters.shipped_packs.chest_templates")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument(
        "--out", type=Path, default=Path(quality_measures.__file__).with_name(quality_measures.TEMPLATES_FILE)
    )
    options = parser.parse_args()
    groups = [[film.read() for film in films if is_learnt_from(film.patient)] for films in sets(options.data)]
    learn(groups).save(options.out)
    print(f"{options.out.name}: learnt from {' and '.join(str(len(group)) for group in groups)} films")
    return 0


def sets(data: Path) -> tuple[Sequence[Film], Sequence[Film]]:
    """Children's films (every second) and adults'."""
    children = datasets.image_folder(data / "chest-xray" / "kermany224_train", "PNEUMONIA").films[::EVERY_CHILD]
    return children, datasets.nih(data / "chest-xray-nih", adults=True).films


def is_learnt_from(patient: str) -> bool:
    """Whether a patient is in the half to learn from; always the same half."""
    return zlib.crc32(patient.encode()) % 2 == 0


def learn(groups: Sequence[Sequence[Grey]]) -> quality_measures.ChestTemplates:
    """The templates of *groups* of films, each group with an average film of its own."""
    frames = [frame for group in groups for frame in group]
    whole = np.stack([ReducedFrame.from_frame(frame).thumbnail for frame in frames])
    cut = np.stack([_crop(frames, whole, side) for side in SIDES])
    kinds = np.split(whole, np.cumsum([len(group) for group in groups])[:-1])
    means = np.stack([kind.mean(axis=0).reshape(-1) for kind in kinds])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    return quality_measures.ChestTemplates(*(part.astype(np.float32) for part in (_upright(whole), cut, means)))


def without(frame: Grey, side: str, share: float) -> Grey:
    """*frame* less a *share* of it at one *side*."""
    rows, columns = (round(share * length) for length in frame.shape)
    parts = {"left": frame[:, columns:], "right": frame[:, :-columns], "top": frame[rows:], "bottom": frame[:-rows]}
    return np.ascontiguousarray(parts[side])


def _upright(whole: Matrix) -> Matrix:
    """One template whose product is larger with a film as it lies than with the film turned (conditional logit)."""
    turned = np.stack([np.stack(quality_measures.quarter_turns(one)).reshape(4, -1) for one in whole])
    weights = np.zeros(turned.shape[2])
    for _ in range(_STEPS):
        odds = turned @ weights
        share = np.exp(odds - odds.max(axis=1, keepdims=True))
        share /= share.sum(axis=1, keepdims=True)
        mean = np.einsum("ik,ikf->if", share, turned)
        slope = (mean - turned[:, 0]).mean(axis=0) + _RIDGE * weights
        flat = (turned * np.sqrt(share)[:, :, np.newaxis]).reshape(-1, len(weights))
        bend = (flat.T @ flat - mean.T @ mean) / len(whole) + _RIDGE * np.eye(len(weights))
        weights = weights - np.linalg.solve(bend, slope)
    return weights


def _crop(frames: Sequence[Grey], whole: Matrix, side: str) -> Matrix:
    """Weights and constant of a logistic regression of films without a share of *side* against whole ones."""
    lacking = [
        ReducedFrame.from_frame(without(frame, side, SHARES[at % len(SHARES)])).thumbnail
        for at, frame in enumerate(frames)
    ]
    rows = np.concatenate([whole, np.stack(lacking)]).reshape(2 * len(whole), -1)
    rows = np.hstack([rows, np.ones((len(rows), 1))])
    wanted = np.repeat([0.0, 1.0], len(whole))
    weights = np.zeros(rows.shape[1])
    for _ in range(_STEPS):
        share = 1.0 / (1.0 + np.exp(-(rows @ weights)))
        slope = rows.T @ (share - wanted) / len(rows) + _RIDGE * weights
        bend = (rows * (share * (1.0 - share))[:, np.newaxis]).T @ rows / len(rows) + _RIDGE * np.eye(len(weights))
        weights = weights - _DAMPING * np.linalg.solve(bend, slope)
    return weights


if __name__ == "__main__":
    sys.exit(main())
