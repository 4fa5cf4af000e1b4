"""From the float ONNX file to an INT8 one that a plain CPU runs: static QDQ, U8 activations, S8 weights per channel.

Weights use 7 of their 8 bits (``reduce_range``): on CPUs without VNNI the 8-bit product of U8 and S8 saturates, and
the same film would get another answer on an older box. Ways of choosing activation ranges, and ever more float layers
at the ends of the network, are tried until the logits of validation films hardly move and the AUC passes the gate.
Fidelity decides rather than AUC alone, because on few films a damaged model may score better by luck. Measured on the
adult pack: with every layer in INT8 the spread of the logits shrinks by a third; with the first three convolutions in
float it stays within 3 %.
"""

import logging
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # as in firmware_app/runtimes/onnxruntime.py; read when it is imported

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)

from converters import statistics
from converters.failures import GateFailed

METHODS = ("minmax", "percentile")
PERCENTILE = 99.99
BATCH = 8
MOST_MOVED = 0.13


class FilmReader(CalibrationDataReader):  # type: ignore[misc]
    """Feeds calibration films, a few at a time. Films are (N, H, W) uint8."""

    def __init__(self, films: NDArray[np.uint8], name: str) -> None:
        self.films, self.name, self.next_index = films, name, 0

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        """The next batch, or ``None`` after the last (the library's protocol)."""
        if self.next_index + BATCH > len(self.films):
            return None
        chosen = self.films[self.next_index : self.next_index + BATCH]
        self.next_index += BATCH
        return {self.name: chosen[:, np.newaxis].astype(np.float32) / 255.0}


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way of quantizing: what it kept in float, its AUC and how far its logits moved (RMS over their spread)."""

    method: str
    spared: int
    auc: float
    moved: float
    path: Path


def quantize(
    source: Path, target: Path, films: NDArray[np.uint8], name: str, labels: NDArray[np.int64],
    logits_of: Callable[[Path], NDArray[np.float64]], gate: float,
) -> Candidate:  # fmt: skip
    """Quantize ``source`` on calibration ``films`` and leave the chosen candidate at ``target``.

    ``logits_of`` gives a file's logits of the validation films with ``labels``. Raises
    :class:`~converters.failures.GateFailed` when no candidate keeps the AUC within ``gate`` of the float file and its
    logits within :data:`MOST_MOVED`.
    """
    logging.getLogger().setLevel(logging.ERROR)
    wanted = logits_of(source)
    needed = (statistics.auc(labels, wanted) or 0.0) - gate
    tried: list[Candidate] = []
    for spared in spared_nodes(source):
        for method in METHODS:
            path = target.with_suffix(f".{method}.{len(spared)}.onnx")
            write_int8(source, path, FilmReader(films, name), method, spared)
            tried.append(judged(path, method, len(spared), labels, wanted, logits_of(path)))
            print(tried[-1], file=sys.stderr, flush=True)
        best = min(tried, key=lambda one: one.moved)
        if best.moved <= MOST_MOVED and best.auc >= needed:
            best.path.replace(target)
            for left in (one.path for one in tried if one is not best):
                left.unlink()
            return best
    best = min(tried, key=lambda one: one.moved)
    moved = f"logits moved by {best.moved:.3f} of their spread"
    raise GateFailed("int8", f"AUC {best.auc:.4f} (needed {needed:.4f}), {moved}")


def judged(
    path: Path, method: str, spared: int, labels: NDArray[np.int64], wanted: NDArray[np.float64],
    found: NDArray[np.float64],
) -> Candidate:  # fmt: skip
    """A candidate with its AUC and the root-mean-square change of its logits, in spreads of the float ones."""
    moved = float(np.sqrt(np.mean((found - wanted) ** 2)) / max(float(wanted.std()), 1e-9))
    return Candidate(method, spared, statistics.auc(labels, found) or 0.0, moved, path)


def spared_nodes(source: Path) -> list[list[str]]:
    """Convolutions to keep in float, by name: none; the first three; the first six and the last two."""
    names = [node.name for node in onnx.load(str(source)).graph.node if node.op_type == "Conv"]
    return [[], names[:3], names[:6] + names[-2:]]


def write_int8(source: Path, path: Path, reader: FilmReader, method: str, spared: Sequence[str]) -> None:
    """One static quantization of ``source`` into ``path``."""
    methods = {"minmax": CalibrationMethod.MinMax, "percentile": CalibrationMethod.Percentile}
    with redirect_stdout(sys.stderr):  # the library prints its progress on stdout
        quantize_static(
            str(source), str(path), reader, quant_format=QuantFormat.QDQ, per_channel=True, reduce_range=True,
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, nodes_to_exclude=list(spared),
            calibrate_method=methods[method], extra_options={"CalibPercentile": PERCENTILE},
        )  # fmt: skip
