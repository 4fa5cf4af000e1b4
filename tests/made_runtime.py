"""Runtimes made on the spot: a real distribution with entry points, installed by being on the path.

Each is a module behind the box's own interface, which averages the toy pack's film as its graph does, and then does
what it is told: crash, hang, lie, dawdle.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from firmware_app.imaging.input_spec import InputSpec
from firmware_app.imaging.model_input import to_model_input
from firmware_app.packs.runtimes import registry
from tests import films, toy_pack

RIGHT = "return {'map': pooled}"
LIES = "return {'map': pooled + 1.0}"
SLOW = "time.sleep(0.03); return {'map': pooled}"
CRASHES = "os._exit(7)"
HANGS = "time.sleep(600)"

_MODULE = """
import os, time
import numpy as np
from firmware_app.packs.runtimes.interface import Probe, RuntimeConfig

key = {key!r}
suffixes = ()

class Config(RuntimeConfig):
    "None of its own."

class Session:
    def infer(self, inputs):
        film = inputs["image"]
        small = film.shape[2] // {pool}
        pooled = film.reshape(1, 1, small, {pool}, small, {pool}).mean(axis=(3, 5), dtype=np.float64).astype(np.float32)
        {body}

def probe():
    return Probe(True, {version!r}, "here")

def load(path, config=None):
    return Session()
"""


def install(
    folder: Path, monkeypatch: pytest.MonkeyPatch, bodies: Mapping[str, str], version: str = "1.0", top: str = ""
) -> None:
    """Put a distribution with one runtime per entry of *bodies* (its name and what it does) on everybody's path."""
    folder.mkdir(parents=True, exist_ok=True)
    about = folder / "made_runtimes-1.dist-info"
    about.mkdir(exist_ok=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: made-runtimes\nVersion: {version}\n")
    points = "".join(f"{key} = made_{key}\n" for key in bodies)
    (about / "entry_points.txt").write_text(f"[{registry.GROUP}]\n{points}")
    for key, body in bodies.items():
        text = top + _MODULE.format(key=key, pool=toy_pack.POOL, version=version, body=body)
        (folder / f"made_{key}.py").write_text(text)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")])))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")  # a module that is written again within the second is read again
    registry.list_runtimes.cache_clear()


def golden_input() -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """The image of the golden case, and it as the model's input."""
    image = films.shapes(1, 96, 80, 255).astype(np.uint8)
    return image, to_model_input(image.astype(np.float32), InputSpec("image", toy_pack.SIDE, toy_pack.SIDE))


def pack(folder: Path, runtimes: tuple[str, ...], **changes: Any) -> Path:
    """A toy pack with one file for each of *runtimes*, and a golden image with the answer that its graph gives."""
    made = toy_pack.write(folder, "toy-adult", "adult", 18, None)
    image, tensor = golden_input()
    Image.fromarray(image).save(made / "golden.png")
    path = made / "manifest.json"
    manifest = json.loads(path.read_text())
    (made / "fp32.made").write_bytes((made / "fp32.onnx").read_bytes())  # under a name that no other runtime reads
    manifest["artefacts"] = [
        {
            **manifest["artefacts"][0],
            "runtime": key,
            "path": "fp32.onnx" if registry.runtime_suffixes(key) else "fp32.made",
        }
        for key in runtimes
    ]
    manifest["golden"] = [
        {
            "kind": "phantom",
            "path": "golden.png",
            "sha256": hashlib.sha256((made / "golden.png").read_bytes()).hexdigest(),
            "expected": {"fp32": {"bright": round(1.0 / (1.0 + math.exp(-float(tensor.mean()))), 4)}},
            "tolerance": {"fp32": 0.002},
        }
    ]
    path.write_text(json.dumps({**manifest, **changes}))
    return made
