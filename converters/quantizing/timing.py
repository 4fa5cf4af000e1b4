"""Timing of one film in a process of its own: a request as JSON on stdin, a JSON list of milliseconds on stdout.

    python -m converters.quantizing.timing < request.json

Two runtimes in one process would share cores and caches: ONNX Runtime's INT8 then takes up to three times as long.
The request is that of :func:`of_file` or :func:`of_network`.  A film is noise; none is read.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.failures import ToolFailed
from firmware_app.imaging.input_spec import InputSpec

WARM_UPS = 8
PYTORCH = "pytorch"

Film = NDArray[np.float32]
Ask = Callable[[], object]


def time_file(runtime: str, path: Path, spec: InputSpec, threads: int) -> dict[str, Any]:
    """To time a model file whose input is ``spec``."""
    return {
        "runtime": runtime,
        "path": str(path),
        "name": spec.name,
        "shape": list(spec.shape),
        "channels": spec.channels,
        "threads": threads,
    }


def time_network(recipe: str, near: Path, work: Path, checkpoint: Path | None, threads: int) -> dict[str, Any]:
    """To time a network in PyTorch: ``recipe`` as JSON, and its weights where they are kept in a checkpoint."""
    weights = None if checkpoint is None else str(checkpoint)
    return {
        "runtime": PYTORCH,
        "recipe": recipe,
        "near": str(near),
        "work": str(work),
        "checkpoint": weights,
        "threads": threads,
    }


def measure_time_apart(request: Mapping[str, Any], times: int) -> list[float]:
    """Milliseconds of each of ``times`` inferences in a new process. Raises :class:`ToolFailed`."""
    command = [sys.executable, "-m", "converters.quantizing.timing"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(part for part in sys.path if part)}
    asked = json.dumps({**request, "times": times})
    done = subprocess.run(command, input=asked, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
        what = Path(str(request.get("path") or request.get("checkpoint") or "the network")).name
        raise ToolFailed(str(request["runtime"]), f"run {what}", reason[-1])
    values: list[float] = json.loads(done.stdout.splitlines()[-1])
    return values


def measure_time(ask: Ask, times: int) -> list[float]:
    """Milliseconds of each of ``times`` calls, after some that do not count."""
    for _ in range(WARM_UPS):
        ask()
    return [_milliseconds(ask) for _ in range(times)]


def file_asked(runtime: str, path: Path, name: str, film: Film, threads: int) -> Ask:
    """One inference of a model file, as the box makes it."""
    from firmware_app.packs.runtimes import registry

    module = registry.get_runtime(runtime)
    session = module.load(path, module.Config(threads=threads))
    return lambda: session.infer({name: film})


def network_asked(net: Any, film: Film, threads: int) -> Ask:
    """One inference of a network in PyTorch."""
    import torch

    torch.set_num_threads(threads)
    given = torch.from_numpy(film)
    net = net.eval()

    def ask() -> object:
        with torch.inference_mode():
            return net(given)

    return ask


def noise(shape: Sequence[int], channels: int = 1) -> Film:
    """A film, or volume, of noise, always the same."""
    return np.random.default_rng(0).random((1, channels, *shape), dtype=np.float32)


def main() -> None:
    """Answer one job."""
    job = json.load(sys.stdin)
    if job["runtime"] == PYTORCH:
        ask = _network(job)
    else:
        film = noise(job["shape"], job["channels"])
        ask = file_asked(job["runtime"], Path(job["path"]), job["name"], film, job["threads"])
    print(json.dumps(measure_time(ask, job["times"])))


def _network(job: Mapping[str, Any]) -> Ask:
    from converters.data.recipe_data import input_spec
    from converters.nets import foreign
    from converters.recipe import Recipe
    from converters.training import checkpoint, train

    recipe = Recipe.model_validate_json(job["recipe"])
    spec, path = input_spec(recipe), job["checkpoint"] and Path(job["checkpoint"])
    if recipe.net.is_foreign:
        net = foreign.load_foreign(recipe, Path(job["near"]), spec, Path(job["work"]))
        if path:
            checkpoint.fill(net, checkpoint.load(path).state, path)
    else:
        net = train.restore(path)
    return network_asked(net, noise(spec.shape, spec.channels), job["threads"])


def _milliseconds(ask: Ask) -> float:
    begun = time.perf_counter()
    ask()
    return 1e3 * (time.perf_counter() - begun)


if __name__ == "__main__":
    main()
