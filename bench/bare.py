"""The bare model beside the box: the same artefact, runtime, precision and threads in one process, nothing around it.

    python -m bench.bare steps|rate PACK RUNTIME PRECISION THREADS FILE TIMES

`steps` prints the milliseconds of decoding the film, of making the model's input and of the inference, each *TIMES*
times; `rate` prints how many inputs a second it infers when they lie ready.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

from bench import harness
from firmware_app.core.records import PackIdentity
from firmware_app.imaging import image_file
from firmware_app.imaging.model_input import to_model_input
from firmware_app.packs.pack_folder import Pack, find_pack, shipped_packs_dir
from firmware_app.packs.runtimes import registry
from firmware_app.packs.runtimes.interface import Session

_WARM_UPS: Final = 3

FIRST: Final = """
import sys
import numpy, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
[wanted] = session.get_inputs()
session.run(None, {wanted.name: numpy.zeros([1, *wanted.shape[1:]], numpy.float32)})
"""
"""A whole program around one inference; its argument is an artefact."""


def measure(what: str, packs: Path, identity: PackIdentity, threads: int, path: Path, times: int) -> Any:
    """What `steps` or `rate` prints, run in a process of its own."""
    folder = find_pack(packs, identity.name).folder
    words = [what, folder, identity.runtime, identity.precision, threads, path, times]
    command = [sys.executable, "-m", "bench.bare", *map(str, words)]
    done = subprocess.run(command, cwd=harness.REPOSITORY, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def artefact(name: str) -> Path:
    """The FP32 file of a shipped pack for the default runtime, which every pack has."""
    return find_pack(shipped_packs_dir(), name).artefact("onnxruntime", "fp32")


def main() -> None:
    what, folder, runtime, precision, threads, path, times = sys.argv[1:]
    pack = Pack.load(Path(folder))
    module = registry.get_runtime(runtime)
    session = module.load(pack.artefact(runtime, precision), module.Config(threads=int(threads)))
    steps = [_steps(session, pack, Path(path)) for _ in range(_WARM_UPS + (int(times) if what == "steps" else 0))]
    if what == "steps":
        print(json.dumps({name: [each[name] for each in steps[_WARM_UPS:]] for name in steps[0]}))
    else:
        print(_rate(session, pack, Path(path), int(times)))


def _steps(session: Session, pack: Pack, path: Path) -> dict[str, float]:
    spec = pack.manifest.input
    begun = time.perf_counter()
    with image_file.open_image_file(path, is_picture=False) as opened:
        frame = opened.grey(0)
    decoded = time.perf_counter()
    tensor = to_model_input(frame, spec)
    prepared = time.perf_counter()
    session.infer({spec.name: tensor})
    inferred = time.perf_counter()
    return {
        "decode": 1e3 * (decoded - begun),
        "prepare": 1e3 * (prepared - decoded),
        "infer": 1e3 * (inferred - prepared),
    }


def _rate(session: Session, pack: Pack, path: Path, times: int) -> float:
    spec = pack.manifest.input
    with image_file.open_image_file(path, is_picture=False) as opened:
        tensor = to_model_input(opened.grey(0), spec)
    begun = time.perf_counter()
    for _ in range(times):
        session.infer({spec.name: tensor})
    return times / (time.perf_counter() - begun)


if __name__ == "__main__":
    main()
