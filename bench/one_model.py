"""One model in a process of its own: milliseconds of one film, again and again, and nothing else.

    python -m bench.one_model RUNTIME MODEL HEIGHT WIDTH THREADS TIMES

*MODEL* is a model file, or, for the runtime `pytorch`, the name of a network: lite0, resnet50. Prints a JSON list.
Two runtimes in one process would share cores and caches: ONNX Runtime's INT8 then takes up to three times as long.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bench import harness

PYTORCH: Final = "pytorch"
_WARM_UPS: Final = 8

Film = NDArray[np.float32]


def measured(runtime: str, model: str | Path, size: tuple[int, int], threads: int, times: int) -> list[float]:
    """Milliseconds of each of *times* inferences, in a new process."""
    words = [runtime, model, *size, threads, times]
    command = [sys.executable, "-m", "bench.one_model", *map(str, words)]
    told = subprocess.run(command, cwd=harness.REPOSITORY, capture_output=True, text=True, check=False)
    if told.returncode:
        reason = told.stderr.strip().splitlines() or [f"status {told.returncode}"]
        harness.give_up(f"{runtime} could not run {Path(model).name}: {reason[-1]}")
    values: list[float] = json.loads(told.stdout)
    return values


def main() -> None:
    runtime, model, height, width, threads, times = sys.argv[1:]
    film = np.random.default_rng(0).random((1, 1, int(height), int(width)), dtype=np.float32)
    ask = _eager(model, film, int(threads)) if runtime == PYTORCH else _file(runtime, model, film, int(threads))
    for _ in range(_WARM_UPS):
        ask()
    print(json.dumps([_milliseconds(ask) for _ in range(int(times))]))


def _milliseconds(ask: Callable[[], object]) -> float:
    begun = time.perf_counter()
    ask()
    return 1e3 * (time.perf_counter() - begun)


def _file(runtime: str, path: str, film: Film, threads: int) -> Callable[[], object]:
    from firmware_app.packs.manifest import Manifest
    from firmware_app.runtimes import choice

    module = choice.get(runtime)
    session = module.load(Path(path), module.Config(threads=threads))
    given = {Manifest.load(Path(path).parent).input.name: film}
    return lambda: session.infer(given)


def _eager(name: str, film: Film, threads: int) -> Callable[[], object]:
    import torch

    from bench.resnet50 import resnet50
    from converters.nets import build

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    net = (resnet50() if name == "resnet50" else build(name)).eval()
    given = torch.from_numpy(film)

    def ask() -> object:
        with torch.inference_mode():
            return net(given)

    return ask


if __name__ == "__main__":
    main()
