"""The toy task as another package brings it, a pack for it, and a picture in which its network marks one cell."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from firmware_app.packs.manifest import Manifest
from firmware_app.packs.tasks import registry
from tests import toy_pack, toy_task

ROWS, COLUMNS = 96, 192
BRIGHT = (48, 12, 72, 24)
"""x0, y0, x1, y1 of what the network finds: one cell of its 8 × 8."""
EXPECTED = {"findings": {"spot": 1.0}, "lesions": [[*map(float, BRIGHT), 1.0]]}


def picture() -> np.ndarray[Any, Any]:
    x0, y0, x1, y1 = BRIGHT
    grey = np.random.default_rng(5).integers(0, 80, (ROWS, COLUMNS), np.uint8)
    grey[y0 - 3 : y1 + 3, x0 - 3 : x1 + 3] = 255  # so much larger that no grey of the cell is mixed with the dark
    return grey


def install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a distribution that brings the toy task on everybody's path."""
    about = folder / "toy_task-1.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-task\nVersion: 1\n")
    (about / "entry_points.txt").write_text(f"[{registry.GROUP}]\n{toy_task.key} = {toy_task.__name__}\n")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")])))
    registry.list_task_modules.cache_clear()
    Manifest.for_task.cache_clear()


def write(folder: Path, expected: object = EXPECTED, body_part: str = "CHEST") -> Path:
    """A pack for the toy task in *folder*, with one golden image that is *expected* to be answered so."""
    pack, data = toy_pack.write(folder, "toy-boxes", "adult", 18, None), toy_pack.boxes_onnx()
    (pack / "fp32.onnx").write_bytes(data)
    Image.fromarray(picture()).save(pack / "golden.png")
    manifest = json.loads((pack / "manifest.json").read_text())
    manifest["task"], words = toy_task.key, {"en": "Spot", "zh": "斑点"}
    manifest["route"]["body_parts"] = [body_part]
    manifest["output"] = {"boxes": "boxes", "scores": "scores", "mask": "mask"}
    manifest["findings"] = [
        {"code": "spot", "label": words, "threshold": 0.9, "threshold_rule": "none", "priority": "urgent"}
    ]
    manifest["artefacts"][0] |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    manifest["golden"] = [
        {
            "kind": "phantom",
            "path": "golden.png",
            "tolerance": {"fp32": 0.01},
            "expected": {"fp32": expected},
            "sha256": hashlib.sha256((pack / "golden.png").read_bytes()).hexdigest(),
        }
    ]
    (pack / "manifest.json").write_text(json.dumps(manifest))
    return folder
