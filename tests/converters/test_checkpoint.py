"""A checkpoint is tensors; whatever else a file may be, it is refused in one sentence and nothing of it is run."""

import os
import pickle
from pathlib import Path
from typing import Any

import pytest

from converters.failures import CheckpointForeign, CheckpointHasCode


class Bomb:
    """Runs a command when it is unpickled."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.witness}",)


def test_code_in_a_checkpoint_is_never_run(tmp_path: Path) -> None:
    import torch

    from converters.training import checkpoint

    torch.save({"form": checkpoint.FORM, "state": Bomb(tmp_path / "witness")}, tmp_path / "bomb.pt")
    (tmp_path / "old.pth").write_bytes(pickle.dumps({"state_dict": Bomb(tmp_path / "witness")}))
    for name in ("bomb.pt", "old.pth"):
        with pytest.raises(CheckpointHasCode, match=r"is never run"):
            checkpoint.load(tmp_path / name)
        with pytest.raises(CheckpointHasCode):
            checkpoint.foreign_state(tmp_path / name)
    assert not (tmp_path / "witness").exists()


def test_a_checkpoint_of_another_network_is_refused_by_its_first_tensor(tmp_path: Path) -> None:
    import torch

    from converters.nets import build
    from converters.training import checkpoint

    small, large = build("plain-small"), build("plain")
    path = tmp_path / "other.pt"
    with pytest.raises(CheckpointForeign, match=r"trunk\.1\.convolution\.weight is \(24, 16, 3, 3\) where"):
        checkpoint.fill(large, small.state_dict(), path)
    with pytest.raises(CheckpointForeign, match="is not in it"):
        checkpoint.fill(small, {}, path)
    with pytest.raises(CheckpointForeign, match="has no surprise"):
        checkpoint.fill(small, {**small.state_dict(), "surprise": torch.zeros(1)}, path)
    torch.save({"a": 1}, path)
    with pytest.raises(CheckpointForeign, match="no tensors"):
        checkpoint.foreign_state(path)
    with pytest.raises(CheckpointForeign, match="not written by lantern-convert"):
        checkpoint.load(path)
