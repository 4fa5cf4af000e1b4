"""How far an image lies from what a pack learnt from, by the feature vector that its graph gives beside the map.

A probabilistic principal component model (Tipping & Bishop 1999, J. R. Statist. Soc. B 61:611) of the training images'
features: inside the components each direction counts in units of its own spread, what they leave over in units of the
noise.  Minus twice its log density, less a constant, is the distance; divided by the number of features, an image like
the training images has about 1.

    away = (features - mean) / scale;   inside = components · away
    distance = (sum(inside² / variances) + (|away|² - |inside|²) / noise) / F

`FamiliarityCheck` has the model of a pack and the distance beyond which an image counts as unlike the training images.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from firmware_app.packs.errors import PackArtefactMissing
from firmware_app.packs.pack_folder import Pack

TYPICALITY_FILE: Final = "typicality.npz"
TYPICALITY_ARRAYS: Final = ("mean", "scale", "components", "variances", "noise")

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class TypicalityModel:
    """The model: ``mean`` and ``scale`` (F,), ``components`` (R, F) orthonormal, ``variances`` (R,), ``noise``."""

    mean: Floats
    scale: Floats
    components: Floats
    variances: Floats
    noise: float

    def distance(self, features: NDArray[np.float32]) -> float:
        """``features``: (F,), of one image → its distance; infinite when they are not finite or of another length."""
        if features.shape != self.mean.shape or not bool(np.isfinite(features).all()):
            return float("inf")
        away = (features.astype(np.float64) - self.mean) / self.scale
        inside = self.components @ away
        over = max(float(away @ away) - float(inside @ inside), 0.0)
        return float((inside * inside / self.variances).sum() + over / self.noise) / len(self.mean)

    def save(self, path: Path) -> Path:
        """Write the model; :meth:`load` reads it."""
        arrays = {name: np.asarray(getattr(self, name), dtype=np.float32) for name in TYPICALITY_ARRAYS}
        with path.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
        return path

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a model; raises :class:`ValueError` for a file that is none, :class:`OSError` for one that is away."""
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
                mean, scale, components, variances, noise = (
                    np.asarray(kept[name], np.float32) for name in TYPICALITY_ARRAYS
                )
        except (ValueError, KeyError, EOFError, AttributeError, TypeError, zipfile.BadZipFile) as error:
            raise ValueError(f"{path.name} is no typicality model") from error
        rank = len(variances)
        if mean.ndim != 1 or scale.shape != mean.shape or components.shape != (rank, len(mean)) or noise.shape != ():
            raise ValueError(f"{path.name} is no typicality model")
        return cls(mean, scale, components, variances, float(noise))


@dataclass(frozen=True, slots=True)
class FamiliarityCheck:
    """The model, and the distance beyond which one model file's features count as unlike the training images'."""

    model: TypicalityModel
    limit: float

    @classmethod
    def load(cls, pack: Pack, runtime: str, precision: str) -> Self | None:
        """What *pack* says of the file that *runtime* reads at this precision; ``None`` where it says nothing.

        Raises :class:`~firmware_app.core.errors.PackArtefactMissing`, and :class:`ValueError` for a file that holds
        none.
        """
        entry = pack.manifest.typicality
        limit = entry.find_limit(pack.find_artefact(runtime, precision)) if entry is not None else None
        if entry is None or limit is None:
            return None
        try:
            return cls(TypicalityModel.load(pack.folder / entry.path), limit)
        except OSError as error:
            raise PackArtefactMissing(pack=pack.name, file=entry.path) from error
