"""The model of what a pack's training images look like."""

from pathlib import Path

import numpy as np
import pytest

from firmware_app.packs.typicality import TypicalityModel


def model(tmp_path: Path) -> TypicalityModel:
    mean, scale = np.array([1.0, 2.0, 3.0], np.float32), np.array([1.0, 2.0, 0.5], np.float32)
    kept = TypicalityModel(mean, scale, np.eye(1, 3, dtype=np.float32), np.array([4.0], np.float32), 0.25)
    return TypicalityModel.load(kept.save(tmp_path / "typicality.npz"))


def test_the_mean_is_no_distance_away_and_a_direction_counts_in_its_own_spread(tmp_path: Path) -> None:
    learnt = model(tmp_path)
    assert learnt.distance(np.array([1.0, 2.0, 3.0], np.float32)) == 0.0
    assert learnt.distance(np.array([3.0, 2.0, 3.0], np.float32)) == pytest.approx(2.0**2 / 4.0 / 3)
    assert learnt.distance(np.array([1.0, 4.0, 3.0], np.float32)) == pytest.approx(1.0 / 0.25 / 3)


@pytest.mark.parametrize("features", [[1.0, 2.0], [1.0, 2.0, np.nan], [1.0, np.inf, 3.0], [[1.0, 2.0, 3.0]]])
def test_features_that_cannot_be_are_infinitely_far(tmp_path: Path, features: list[float]) -> None:
    assert model(tmp_path).distance(np.array(features, np.float32)) == np.inf


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"nothing"])
def test_a_file_that_is_no_model_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "typicality.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="is no typicality model"):
        TypicalityModel.load(path)
