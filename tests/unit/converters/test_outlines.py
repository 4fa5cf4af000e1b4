"""Volumes and their outlines: read whole, judged by Dice, and passed over by a box that cannot show them."""

from pathlib import Path

import numpy as np
import pytest

from converters.data import volume_sets
from converters.data.predictions import Predictions
from converters.evaluation import segmentation
from converters.evaluation.baseline import Baseline
from converters.evaluation.gates import GateOutcome
from converters.failures import DataUnreadable
from converters.recipe_tables import Gate
from converters.tasks import segment
from firmware_app.imaging.model_input import InputSpec, to_model_input

COUNT = 40
LESION = np.zeros((8, 8, 8), dtype=bool)
LESION[2:6, 2:6, 2:6] = True


def baseline(gate: Gate | None = None) -> Baseline:
    """Forty volumes, a cube in every other one, that the original outlines without a fault."""
    labels = np.arange(COUNT) % 2
    truth = LESION[np.newaxis] & (labels == 1)[:, np.newaxis, np.newaxis, np.newaxis]
    cells = np.where(truth, np.float32(3.0), np.float32(-3.0))
    names = tuple(f"v{number}" for number in range(COUNT))
    original = Predictions(names, labels, names, cells.reshape(COUNT, -1).max(axis=1).astype(np.float64), ({},) * COUNT)
    return Baseline(segment.task, original, cells, 0.0, gate or Gate(), truth)


def shrunk(cells: np.ndarray[tuple[int, ...], np.dtype[np.float32]], slices: int) -> segmentation.Cells:
    """The same outlines without their first ``slices``: every lesion is still found."""
    fewer = cells.copy()
    fewer[:, 2 : 2 + slices] = -3.0
    return fewer


def test_a_file_whose_outlines_shrink_is_refused_although_it_finds_every_lesion() -> None:
    judge = baseline()
    same = {verdict.gate: verdict.outcome for verdict in judge.verdicts(judge.answers)}
    assert same["dice"] is GateOutcome.PASSED
    worse = {verdict.gate: verdict for verdict in judge.verdicts(shrunk(judge.answers, 1))}
    assert worse["auc"].outcome is not GateOutcome.REFUSED
    assert worse["dice"].outcome is GateOutcome.REFUSED
    assert worse["dice"].measured == pytest.approx(2 * 48 / (48 + 64) - 1.0)
    assert "Dice 1.0000 changes by" in worse["dice"].said


def test_the_threshold_is_the_one_with_the_best_dice() -> None:
    judge = baseline()
    assert judge.truth is not None
    cells = judge.answers.copy()
    cells[:, 0] = 1.0  # a slice of false marks below the true ones
    assert 1.0 < segmentation.best_cut(cells, judge.truth) <= 3.0


def write(folder: Path, name: str, volume: object, mask: object | None) -> None:
    for part, array in (("volumes", volume), ("masks", mask)):
        (folder / part).mkdir(parents=True, exist_ok=True)
        if array is not None:
            np.save(folder / part / name, np.asarray(array))


def test_volumes_are_read_with_their_masks_and_the_empty_ones_are_negative(tmp_path: Path) -> None:
    grey = np.random.default_rng(0).random((8, 8, 8))
    write(tmp_path, "a.npy", grey, LESION)
    write(tmp_path, "b.npy", grey + 1.0, np.zeros_like(LESION))
    write(tmp_path, "c.npy", grey, LESION)
    (tmp_path / "labels.csv").write_text("file,patient,machine\na.npy,p1,X\nb.npy,p1,Y\n")
    films = volume_sets.open_volumes(tmp_path, "ball").films
    assert [(film.label, film.patient) for film in films] == [(1, "p1"), (0, "p1"), (1, "c")]
    assert films[0].read().shape == (8, 8, 8)
    outlined = films[0].outline()
    assert outlined is not None
    assert np.array_equal(outlined, LESION)
    assert volume_sets.copies(films) == [(0, 2)]


@pytest.mark.parametrize(
    ("volume", "mask", "sentence"),
    [
        (np.zeros((8, 8, 8)), None, "it has no mask"),
        (np.zeros((8, 8)), np.zeros((8, 8)), "it is no"),
        (np.zeros((8, 8, 8)), np.zeros((8, 8, 4)), "is not the volume's"),
        (np.full((8, 8, 8), np.nan), np.zeros((8, 8, 8)), "finite"),
        (np.array([{}], dtype=object), np.zeros((8, 8, 8)), "no volume can be read"),
    ],
)
def test_a_volume_in_another_form_is_refused(tmp_path: Path, volume: object, mask: object, sentence: str) -> None:
    write(tmp_path, "a.npy", volume, mask)
    with pytest.raises(DataUnreadable, match=sentence):
        volume_sets.open_volumes(tmp_path, "ball")


def test_a_volume_becomes_a_tensor_with_its_depth() -> None:
    spec = InputSpec("film", 16, 12, depth=4)
    volume = np.linspace(0.0, 1.0, 8, dtype=np.float32)[:, np.newaxis, np.newaxis] * np.ones((8, 32, 24), np.float32)
    tensor = to_model_input(volume, spec)
    assert tensor.shape == (1, 1, 4, 16, 12)
    steps = tensor[0, 0].mean(axis=(1, 2))
    assert (np.diff(steps) > 0.0).all()
    with pytest.raises(ValueError, match=r"not a \(D, H, W\) volume"):
        to_model_input(volume[0], spec)
    with pytest.raises(ValueError, match="0 x 16 x 12"):
        InputSpec("film", 16, 12, depth=0)
