"""The step ``speed``: how long one film takes in each file that ships, and in PyTorch; measured, never gated."""

import platform
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from converters.evaluation.out_of_fold import ORIGINAL
from converters.formats import artefacts
from converters.formats.artefacts import NAMES, Key
from converters.formats.model_files import floats, present
from converters.quantizing import timing
from converters.training import steps
from converters.training.steps import RecipeRun
from firmware_app.core import console
from firmware_app.imaging.model_input import InputSpec

ROUNDS = 3
TIMES = 12
"""Each file is timed in a process of its own, new in every round; all files of a round see the same weather."""

THREADS = 2

Asked = tuple[Key, str, int, dict[str, Any]]
"""Its key, its name, its bytes and the request that times it."""


def speed_step(run: RecipeRun) -> dict[str, Any]:
    """Median milliseconds of one film in each file that ships and in PyTorch, in turns, on two threads here."""
    mark = run.ledger.fingerprint(steps.tables(run.recipe), ("quantize",), run.digest)
    if (known := run.ledger.results("speed", mark)) is not None:
        return known
    rows = measure_time([*files(run), *networks(run)], f"{run.recipe.pack} speed: timed")
    results = {"machine": read_processor_name(), "threads": THREADS, "rows": rows}
    run.ledger.record_step("speed", mark, results, [])
    return results


def measure_time(asked: Sequence[Asked], said: str) -> list[dict[str, Any]]:
    """A row for each of ``asked``: its key, name, bytes, and the milliseconds for one film."""
    times: list[list[float]] = [[] for _ in asked]
    with console.show_progress(said) as advance:
        for _ in range(ROUNDS):
            for (*_, request), own in zip(asked, times, strict=True):
                own += timing.measure_time_apart(request, TIMES)
                advance(sum(map(len, times)) // TIMES, ROUNDS * len(asked))
    rows = []
    for ((runtime, precision), name, size, _), own in zip(asked, times, strict=True):
        low, middle, high = np.percentile(own, (5, 50, 95))
        rows.append(
            {
                "runtime": runtime,
                "precision": precision,
                "name": name,
                "milliseconds": round(float(middle), 3),
                "low": round(float(low), 3),
                "high": round(float(high), 3),
                "bytes": size,
            }
        )
    return rows


def build_call(key: Key, path: Path, spec: InputSpec, size: int) -> Asked:
    """To time a model file of ``size`` bytes."""
    return key, path.name, size, timing.time_file(key[0], path, spec, THREADS)


def files(run: RecipeRun) -> Iterator[Asked]:
    """The files of the network that ships."""
    folder = floats(run, run.dataset.division.shipped)
    for key in present(run):
        path = folder / NAMES[key]
        size = sum(one.stat().st_size for one in artefacts.files_of(path))
        yield build_call(key, path, run.spec, size)


def networks(run: RecipeRun) -> Iterator[Asked]:
    """The networks whose speed in PyTorch is reported beside the files': the shipped one, and a teacher."""
    recipe, division = run.recipe, run.dataset.division
    if recipe.net.onnx is not None:
        return

    def request(checkpoint: Path | None) -> dict[str, Any]:
        return timing.time_network(recipe.model_dump_json(), run.near, run.work, checkpoint, THREADS)

    net = steps.load_final(run, division.shipped)
    kept = steps.find_final_path(run, division.shipped) if run.training_steps else None
    yield ORIGINAL, "PyTorch", 4 * net.parameters_count, request(kept)
    if recipe.net.teacher is not None:
        first = division.folds[0]
        size = 4 * steps.teacher(run, first).parameters_count
        yield ORIGINAL, "PyTorch, teacher", size, request(run.path("teacher", first))


def read_processor_name() -> str:
    """The name of the processor, from Linux."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())
