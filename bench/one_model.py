"""One model in a process of its own: milliseconds of one film, again and again, and nothing else.

    python -m bench.one_model RUNTIME MODEL HEIGHT WIDTH THREADS TIMES

*MODEL* is a model file, or, for the runtime `pytorch`, the name of a network: lite0, resnet50. Prints a JSON list. The
converters' own step `speed` measures in the same way (`converters.quantizing.timing`).
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Final

from bench import harness
from converters.quantizing import timing
from converters.quantizing.timing import PYTORCH, Ask, Film

RESNET: Final = "resnet50"


def measured(runtime: str, model: str | Path, size: tuple[int, int], threads: int, times: int) -> list[float]:
    """Milliseconds of each of *times* inferences, measured in a new process."""
    words = [runtime, model, *size, threads, times]
    command = [sys.executable, "-m", "bench.one_model", *map(str, words)]
    done = subprocess.run(command, cwd=harness.REPOSITORY, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
        harness.give_up(f"{runtime} could not run {Path(model).name}: {reason[-1]}")
    values: list[float] = json.loads(done.stdout)
    return values


def main() -> None:
    runtime, model, height, width, threads, times = sys.argv[1:]
    film = timing.noise((int(height), int(width)))
    ask = _eager(model, film, int(threads)) if runtime == PYTORCH else _file(runtime, model, int(threads))
    print(json.dumps(timing.timed(ask, int(times))))


def _file(runtime: str, path: str, threads: int) -> Ask:
    from firmware_app.packs.manifest import Manifest

    spec = Manifest.load(Path(path).parent).input
    film = timing.noise(spec.shape, spec.channels)
    return timing.file_asked(runtime, Path(path), spec.name, film, threads)


def _eager(name: str, film: Film, threads: int) -> Ask:
    import torch

    from bench.resnet50 import resnet50
    from converters.nets import build

    torch.manual_seed(0)
    return timing.network_asked(resnet50() if name == RESNET else build(name), film, threads)


if __name__ == "__main__":
    main()
