"""A fit that was stopped learns what it would have learnt without the stop, bit by bit."""

import os
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converters import cli
from converters.recipe_tables import Fit
from tests.converters.conftest import PLAIN, write_recipe

FILMS, BATCH, EPOCHS = 20, 4, 3
PLAN = Fit(epochs=EPOCHS, batch=BATCH, learning_rate=1e-2, average_steps=4, warmup_steps=2, hard_examples=0.3)


@dataclass
class Stopped:
    """Plain training in which Ctrl-C is pressed during a batch; counted from 1, 0 is never."""

    press_in: int
    beside: None = None
    changes_films: bool = False
    asked: list[int] = field(default_factory=list)

    def __call__(self, net: Any, films: Any, index: Any) -> Any:
        self.asked.append(len(index))
        if len(self.asked) == self.press_in:
            os.kill(os.getpid(), signal.SIGINT)
        return (net.logits(films)[:, 0] - np.float32(1.0)).square()


def weights(folder: Path, press_in: int = 0, workers: int = 0) -> dict[str, Any]:
    """Those of a fit in ``folder``, which goes on there when it was stopped."""
    import torch

    from converters.nets import build
    from converters.training import fitting
    from converters.workflow import device

    torch.manual_seed(0)
    seen = np.random.default_rng(0).integers(0, 256, (FILMS, 32, 32), dtype=np.uint8)
    films = fitting.Films(seen, seen[:6], np.array([0, 1] * 3))
    run = fitting.Run(folder / "net.pt", "net", "one", 5, "all")
    with device.use_device("cpu", workers):
        return fitting.fit(build("plain-small"), films, Stopped(press_in), PLAN, run).state_dict()


@pytest.mark.parametrize("press_in", [2, FILMS // BATCH, FILMS // BATCH + 3], ids=["batch", "end of epoch", "later"])
def test_a_fit_stopped_by_ctrl_c_ends_with_the_same_weights(tmp_path: Path, press_in: int) -> None:
    wanted = weights(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        weights(tmp_path / "stopped", press_in)
    resumed = weights(tmp_path / "stopped")
    assert [name for name, value in wanted.items() if not value.equal(resumed[name])] == []


def test_a_gpu_that_is_not_there_is_refused_by_its_code(
    films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    recipe = write_recipe(tmp_path, **PLAIN)
    command = ["train", str(recipe), "--data", str(films), "--out", str(tmp_path / "out"), "--device", "cuda"]
    assert cli.main(command) == 1
    assert "convert.device_absent: PyTorch" in capfd.readouterr().err
