"""Predictions of one model file, on disk: names, labels, patients, traits and logits, one ``.npz`` an artefact.

Every gate, curve and table is computed from these files, so no number depends on a second run.
"""

import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from converters.failures import DataUnreadable
from converters.workflow.atomic import writing


@dataclass(frozen=True, slots=True)
class Predictions:
    """``labels`` (N,) 0 or 1, ``logits`` (N,) before calibration; ``traits`` are words such as ``{"view": "AP"}``."""

    names: tuple[str, ...]
    labels: NDArray[np.int64]
    patients: tuple[str, ...]
    logits: NDArray[np.float64]
    traits: tuple[dict[str, str], ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    def join(self, others: Sequence[Self]) -> Self:
        """These films and those of ``others`` behind them: folds are pooled so."""
        every = (self, *others)
        return type(self)(
            tuple(name for one in every for name in one.names),
            np.concatenate([one.labels for one in every]),
            tuple(patient for one in every for patient in one.patients),
            np.concatenate([one.logits for one in every]),
            tuple(traits for one in every for traits in one.traits),
        )

    def save(self, path: Path) -> Path:
        """Write them whole or not at all."""
        with writing(path) as part, part.open("wb") as file:
            np.savez_compressed(
                file,
                names=np.array(self.names),
                labels=self.labels,
                patients=np.array(self.patients),
                logits=self.logits,
                traits=np.array([json.dumps(trait) for trait in self.traits]),
            )
        return path

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read them back; raises :class:`~converters.failures.DataUnreadable`."""
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as saved:
                return cls(
                    tuple(saved["names"].tolist()),
                    np.asarray(saved["labels"], np.int64),
                    tuple(saved["patients"].tolist()),
                    np.asarray(saved["logits"], np.float64),
                    tuple(json.loads(one) for one in saved["traits"].tolist()),
                )
        except (OSError, ValueError, KeyError, EOFError, TypeError, AttributeError, zipfile.BadZipFile) as error:
            raise DataUnreadable(str(path), f"no predictions can be read from it ({error})") from error
