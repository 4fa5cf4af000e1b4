"""Of the INT8 files of a runtime that pass the gates the fastest one is taken, and the search says what it tried."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from converters.evaluation.gates import GateOutcome, GateResult
from converters.formats.interface import CONTROLS
from converters.quantizing import ptq_search
from converters.recipe_tables import Gate

CONTROLLED, STRICT = CONTROLS
WANTED = np.array([-1.0, 0.0, 1.0])


@dataclass(frozen=True)
class Files:
    """Files that hold their logits: method → how far they are moved, and how many times as fast as float they are."""

    away: Mapping[str, float]
    speeds: Mapping[str, float]
    controlled: bool = False
    runs_here: bool = True

    @property
    def methods(self) -> Sequence[str]:
        return [name for name in self.away if name not in CONTROLS]

    def make(self, folder: Path, method: str) -> Path:
        folder.mkdir(parents=True)
        np.save(folder / "logits.npy", WANTED + self.away[method])
        (folder / "method").write_text(method)
        return folder

    def layers(self, folder: Path) -> tuple[int, int]:
        return 34, 35

    def times_as_fast(self, folders: Sequence[Path]) -> list[float]:
        return [self.speeds[(folder / "method").read_text()] for folder in folders] if self.speeds else []


def logits(path: Path) -> NDArray[np.float64]:
    return np.asarray(np.load(path / "logits.npy"), dtype=np.float64)


def passing(_found: NDArray[np.float64]) -> list[GateResult]:
    return [GateResult("auc", GateOutcome.PASSED, 0.0, -0.005, "AUC changes by +0.0000")]


def run_search(folder: Path, files: Files, judge: ptq_search.Judge = passing) -> ptq_search.Search:
    return ptq_search.search(files, folder / "openvino", WANTED, logits, judge, Gate())


def test_of_those_that_pass_the_fastest_is_taken_and_of_equally_fast_ones_the_most_faithful(tmp_path: Path) -> None:
    away = {"faithful": 0.001, "quick": 0.05, "as quick": 0.04, "wrong": 0.9}
    files = Files(away, {"faithful": 1.3, "quick": 2.6, "as quick": 2.55, "wrong": 9.0})
    found = run_search(tmp_path, files)
    assert found.chosen is not None
    assert (found.chosen.method, found.chosen.times_as_fast) == ("as quick", 2.55)
    assert [one.method for one in found.tried if one.times_as_fast is None] == ["wrong"]
    assert [path.name for path in (tmp_path / "openvino").iterdir()] == [found.chosen.path.name]


def test_a_file_slower_than_the_float_one_is_refused_with_its_speed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = run_search(tmp_path, Files({"minmax": 0.01}, {"minmax": 0.31}))
    assert found.chosen is None
    assert found.tried[0].why_not == "0.31 times as fast as the float file of its runtime, at least 1 wanted"
    told = capsys.readouterr().err
    assert "minmax, 34 of 35 convolutions and products in INT8, 0.31 times as fast as the float file: refused" in told


@pytest.mark.parametrize(
    ("plain", "mended", "wanted"),
    [(0.01, 0.01, ["minmax"]), (0.5, 0.1, ["minmax", CONTROLLED]), (0.5, 0.2, ["minmax", CONTROLLED, STRICT])],
)
def test_accuracy_control_is_tried_where_nothing_else_passes(
    tmp_path: Path, plain: float, mended: float, wanted: list[str]
) -> None:
    away = {"minmax": plain, CONTROLLED: mended, STRICT: 0.02}
    files = Files(away, {"minmax": 2.0, CONTROLLED: 1.4, STRICT: 1.2}, controlled=True)
    found = run_search(tmp_path, files)
    assert [one.method for one in found.tried] == wanted
    assert found.chosen is found.tried[-1]
