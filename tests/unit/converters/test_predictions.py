"""What a model said is kept whole, and read back the same."""

from pathlib import Path

import numpy as np
import pytest

from converters.data.predictions import Predictions
from converters.failures import DataUnreadable, OutputUnwritable


def some(names: str = "ab") -> Predictions:
    count = len(names)
    traits = tuple({"view": "AP"} for _ in names)
    return Predictions(tuple(names), np.arange(count) % 2, tuple(names.upper()), np.linspace(-1.5, 2.25, count), traits)


def test_predictions_come_back_as_they_were_kept(tmp_path: Path) -> None:
    kept = some("abc")
    back = Predictions.load(kept.save(tmp_path / "deeper" / "p.npz"))
    assert (back.names, back.patients, back.traits) == (kept.names, kept.patients, kept.traits)
    assert np.array_equal(back.labels, kept.labels)
    assert np.array_equal(back.logits, kept.logits)
    assert [path.name for path in (tmp_path / "deeper").iterdir()] == ["p.npz"]


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 cut off"])
def test_a_file_that_holds_no_predictions_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.npz"
    path.write_bytes(content)
    with pytest.raises(DataUnreadable, match=r"broken\.npz"):
        Predictions.load(path)


def test_predictions_that_cannot_be_written_leave_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputUnwritable):
        some().save(tmp_path / "file" / "p.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
