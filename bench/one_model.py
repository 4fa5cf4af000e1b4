"""One model in a process of its own: milliseconds of one film, again and again, and nothing else.

    python -m bench.one_model RUNTIME MODEL HEIGHT WIDTH THREADS TIMES

*MODEL* is a model file, or, for the runtime `pytorch`, the name of a network: lite0, resnet50. Prints a JSON list. The
converters' own step `speed` measures in the same way (`converters.quantizing.timing`).
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from bench import harness
from converters.quantizing import timing
from converters.quantizing.timing import PYTORCH, Ask, Film

RESNET: Final = "resnet50"


def measure(
    runtime: str,
    model: str | Path,
    size: tuple[int, int],
    threads: int,
    times: int,
    environment: Mapping[str, str] | None = None,
) -> list[float]:
    """Milliseconds of each of *times* inferences, measured in a new process; *environment* is added to ours."""
    words = [runtime, model, *size, threads, times]
    command = [sys.executable, "-m", "bench.one_model", *map(str, words)]
    values: list[float] = json.loads(_print_text(command, runtime, model, environment or {}))
    return values


def by_benchmark_app(model: Path, threads: int, times: int) -> float:
    """The median in milliseconds that OpenVINO's own `benchmark_app` prints for one film after the other."""
    one_by_one = f"-d CPU -hint none -nstreams 1 -api sync -nthreads {threads} -niter {times} -infer_precision f32"
    app = str(Path(sys.executable).with_name("benchmark_app"))
    command = [app, "-m", str(model), *one_by_one.split(), *_one_film(model)]
    printed = _print_text(command, "benchmark_app", model, {})
    median = re.search(r"Median:\s+([\d.]+) (us|ms|s)\b", printed)
    if median is None:
        harness.give_up(f"benchmark_app printed no median for {model.name}.")
    return float(median[1]) * {"us": 1e-3, "ms": 1.0, "s": 1e3}[median[2]]


def _one_film(model: Path) -> list[str]:
    """What tells `benchmark_app` the size of one film, because the files take any number of them."""
    from firmware_app.packs.manifest import Manifest

    spec = Manifest.load(model.parent).input
    return ["-shape", f"{spec.name}[1,{spec.channels},{spec.height},{spec.width}]"]


def _print_text(command: list[str], runtime: str, model: str | Path, environment: Mapping[str, str]) -> str:
    done = subprocess.run(
        command, cwd=harness.REPOSITORY, capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )
    if done.returncode:
        reason = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
        harness.give_up(f"{runtime} could not run {Path(model).name}: {reason[-1]}")
    return done.stdout


def main() -> None:
    runtime, model, height, width, threads, times = sys.argv[1:]
    film = timing.noise((int(height), int(width)))
    ask = _eager(model, film, int(threads)) if runtime == PYTORCH else _file(runtime, model, int(threads))
    print(json.dumps(timing.measure_time(ask, int(times))))


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
