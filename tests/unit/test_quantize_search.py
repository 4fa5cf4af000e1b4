"""What a search for INT8 files says while it searches."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from converters.evaluation.gates import GateOutcome, GateResult
from converters.quantizing import quantize

WANTED = np.array([-1.0, 0.0, 1.0])


class Rounded:
    """Files that hold their logits, rounded more or less."""

    methods: Sequence[str] = ("fine", "coarse")
    layers: Sequence[str] = ()

    def make(self, folder: Path, method: str, spared: Sequence[str], *, first: bool = False) -> Path:
        folder.mkdir(parents=True)
        np.save(folder / "logits.npy", WANTED + (0.01 if method == "fine" else 0.9))
        return folder


def logits(path: Path) -> NDArray[np.float64]:
    return np.asarray(np.load(path / "logits.npy"), dtype=np.float64)


def test_a_refused_try_is_told_with_the_reason_for_which_it_was_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def judge(_found: NDArray[np.float64]) -> list[GateResult]:
        return [GateResult("sensitivity", GateOutcome.REFUSED, -7.0, -1.0, "7 lost, 1 won, allowed 1 lost of so few")]

    search = quantize.search(Rounded(), tmp_path / "openvino", WANTED, logits, judge, 0, logits)
    assert search.chosen is None
    fine, coarse = capsys.readouterr().err.splitlines()
    assert fine.endswith("fine, layers in float: 0: refused: 7 lost, 1 won, allowed 1 lost of so few")
    assert "coarse, layers in float: 0: refused: logits move by 1.102 of their spread, allowed 0.13; 7 lost" in coarse


def test_a_try_that_passes_says_how_far_it_moves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def judge(_found: NDArray[np.float64]) -> list[GateResult]:
        return [GateResult("auc", GateOutcome.PASSED, 0.0, -0.005, "AUC changes by +0.0000")]

    search = quantize.search(Rounded(), tmp_path / "openvino", WANTED, logits, judge, 0, logits)
    assert search.chosen is not None
    assert "fine, layers in float: 0: passed, logits move by 0.012 of their spread" in capsys.readouterr().err
