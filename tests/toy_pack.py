"""A model pack made on the spot, so that the reader's tests need no trained model.

Its graph is one AveragePool: the map is the film itself, made small, and the finding is "the film is bright".  The few
bytes of ONNX are written by hand (protocol buffers: field number and wire type, then the value).  A pack that
`add_typicality` what its films looked like gives the map's cells as features too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firmware_app.imaging.model_input import InputSpec, to_model_input
from firmware_app.packs.typicality import TYPICALITY_FILE, TypicalityModel

SIDE = 64
POOL = 8
BRIGHT = 0.5


def write(
    folder: Path,
    name: str,
    population: str,
    youngest: int | None,
    oldest: int | None,
    *,
    threshold: float = 0.5,
    int8: bytes | None = None,
) -> Path:
    """Make the pack *name* below *folder* and return it; *int8* is the content of an INT8 file beside the FP32 one."""
    pack = folder / name
    pack.mkdir(parents=True)
    files = {"fp32": onnx(), **({"int8": int8} if int8 is not None else {})}
    for precision, data in files.items():
        (pack / f"{precision}.onnx").write_bytes(data)
    (pack / "manifest.json").write_text(json.dumps(_manifest(name, population, youngest, oldest, threshold, files)))
    return pack


def write_both(folder: Path) -> Path:
    """An adult and a child pack in *folder*, which is returned."""
    write(folder, "toy-adult", "adult", 18, None)
    write(folder, "toy-child", "children", 1, 5)
    return folder


def set_usual_scores(pack: Path, mean: float = 0.0, spread: float = 1.0, **more: Any) -> None:
    """Let the threshold of *pack* follow a machine's scores; *more* goes into its manifest."""
    manifest = json.loads((pack / "manifest.json").read_text()) | more
    manifest["findings"][0]["usual_scores"] = {"mean": mean, "spread": spread, "prevalence": 0.3, "films": 900}
    (pack / "manifest.json").write_text(json.dumps(manifest))


def make_segmenter(pack: Path, modality: str, body_part: str, frames: int = 1, **more: Any) -> None:
    """Let *pack* outline what is bright in images of *modality* and *body_part*; *more* goes into its manifest."""
    manifest = json.loads((pack / "manifest.json").read_text())
    rule = {"rule": "interval" if frames > 1 else "middle", "budget": frames}
    manifest |= {"task": "segment", "frames": rule, **more}
    manifest["route"] |= {"modalities": [modality], "body_parts": [body_part], "views": []}
    manifest["findings"][0] |= {"bias": -0.6, "calibration": {"kind": "platt", "slope": 12.0, "intercept": 0.0}}
    (pack / "manifest.json").write_text(json.dumps(manifest))


def set_least_size(pack: Path, least_px: int) -> None:
    """Let *pack* give no number for an image whose shorter side has fewer pixels."""
    manifest = json.loads((pack / "manifest.json").read_text())
    manifest["quality"] = {**manifest.get("quality", {}), "least_px": least_px}
    (pack / "manifest.json").write_text(json.dumps(manifest))


def use_brightest_model(pack: Path, modality: str, body_part: str) -> None:
    """Let *pack* find something in images of *modality* and *body_part* wherever a pixel is very bright."""
    model = brightest_onnx()
    (pack / "fp32.onnx").write_bytes(model)
    manifest = json.loads((pack / "manifest.json").read_text())
    manifest["route"] |= {"modalities": [modality], "body_parts": [body_part], "views": []}
    manifest["input"] |= {"greys": "full"}
    manifest["artefacts"][0] |= {"bytes": len(model), "sha256": hashlib.sha256(model).hexdigest()}
    (pack / "manifest.json").write_text(json.dumps(manifest))


def use_opposed_networks(pack: Path, most_apart: float) -> None:
    """Let *pack* have two networks, of which the second always says the opposite of the first."""
    model = opposed_onnx()
    (pack / "fp32.onnx").write_bytes(model)
    manifest = json.loads((pack / "manifest.json").read_text())
    manifest["artefacts"][0] |= {"bytes": len(model), "sha256": hashlib.sha256(model).hexdigest()}
    manifest["output"]["members"] = {
        "networks": ["bright", "dark"],
        "channels": [0, 1],
        "weights": [1.0, 0.0],
        "most_apart": most_apart,
        "films": 100,
        "given": 0.95,
        "given_ci": [0.9, 0.98],
    }
    (pack / "manifest.json").write_text(json.dumps(manifest))


def add_typicality(pack: Path, pictures: Sequence[NDArray[Any]], limit: float) -> None:
    """Let *pack* know *pictures*: an image's distance is the mean square of its cells' deviations, in spreads."""
    spec = InputSpec("image", SIDE, SIDE)
    films = np.stack([to_model_input(picture.astype(np.float32), spec)[0, 0] for picture in pictures])
    small = SIDE // POOL
    cells = films.reshape(len(films), small, POOL, small, POOL).mean(axis=(2, 4)).reshape(len(films), -1)
    scale = np.maximum(cells.std(axis=0), 0.05)
    first = np.eye(1, small * small, dtype=np.float32)
    path = TypicalityModel(cells.mean(axis=0), scale, first, np.ones(1, np.float32), 1.0).save(pack / TYPICALITY_FILE)
    model, data = onnx(features=True), path.read_bytes()
    (pack / "fp32.onnx").write_bytes(model)
    manifest = json.loads((pack / "manifest.json").read_text())
    manifest["output"]["features"] = "features"
    manifest["artefacts"][0] |= {"bytes": len(model), "sha256": hashlib.sha256(model).hexdigest()}
    manifest["typicality"] = {
        "path": path.name,
        "sha256": hashlib.sha256(data).hexdigest(),
        "bytes": len(data),
        "passes": 0.95,
        "films": len(pictures),
        "limits": [{"runtime": "onnxruntime", "precision": "fp32", "limit": limit}],
    }
    (pack / "manifest.json").write_text(json.dumps(manifest))


def _manifest(
    name: str, population: str, youngest: int | None, oldest: int | None, threshold: float, files: dict[str, bytes]
) -> dict[str, Any]:
    words = {"en": "Bright", "zh": "亮"}
    return {
        "schema": "lantern.pack/1",
        "name": name,
        "version": "0.0.1",
        "title": words,
        "task": "classify",
        "route": {
            "modalities": ["CR", "DX"],
            "body_parts": ["CHEST"],
            "views": ["AP", "PA"],
            "age_years": {"min": youngest, "max": oldest},
            "population": population,
        },
        "input": {"name": "image", "height": SIDE, "width": SIDE},
        "output": {"map": "map", "full_scale": 1.0},
        "findings": [
            {
                "code": "bright",
                "label": words,
                "channel": 0,
                "bias": 0.0,
                "threshold": threshold,
                "calibration": {"kind": "platt", "slope": 1.0, "intercept": 0.0},
                "threshold_rule": "none",
                "priority": "soon",
            }
        ],
        "training_prevalence": 0.5,
        "artefacts": [
            {
                "path": f"{precision}.onnx",
                "runtime": "onnxruntime",
                "precision": precision,
                "bytes": len(data),
                "sha256": hashlib.sha256(data).hexdigest(),
                "opset": 18,
            }
            for precision, data in files.items()
        ],
        "data": [
            {"name": "none", "licence": "none", "citation": "none", "use": "none", "n_images": 0, "n_patients": 0}
        ],
        "measured": [],
        "intended_use": words,
        "not_for": words,
        "weak_points": [words],
        "golden": [],
    }


def _varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def _field(number: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _value_info(name: str, *sides: int) -> bytes:
    shape = b"".join(_field(1, _field(1, side)) for side in (1, *sides))
    return _field(1, name) + _field(2, _field(1, _field(1, 1) + _field(2, shape)))


def onnx(features: bool = False) -> bytes:
    """AveragePool(image) → map, perhaps Flatten(map) → features."""
    cells = SIDE // POOL
    nodes, outputs = [_pool_node("map")], [_value_info("map", 1, cells, cells)]
    if features:
        nodes.append(_node("Flatten", ["map"], "features"))
        outputs.append(_value_info("features", cells * cells))
    return _model(nodes, outputs)


def boxes_onnx() -> bytes:
    """For `tests.toy_task`: AveragePool(image) gives the scores and, less a half, the mask; each cell is a box."""
    cells = SIDE // POOL
    steps = np.arange(cells, dtype=np.float32) / cells
    x, y = np.meshgrid(steps, steps)
    corners = np.stack([x, y, x + 1 / cells, y + 1 / cells], axis=-1).reshape(1, -1, 4)
    constants = [_constant("cells", corners), _constant("half", np.array(0.5))]
    nodes = [
        _pool_node("pooled"),
        _node("Flatten", ["pooled"], "scores"),
        _node("Sub", ["pooled", "half"], "mask"),
        _node("Identity", ["cells"], "boxes"),
    ]
    outputs = [
        _value_info("boxes", cells * cells, 4),
        _value_info("scores", cells * cells),
        _value_info("mask", 1, cells, cells),
    ]
    return _model(nodes, outputs, constants)


def brightest_onnx() -> bytes:
    """Relu(MaxPool(image) - BRIGHT) → map."""
    nodes = [
        _pool_node("pooled", "MaxPool"),
        _node("Sub", ["pooled", "bright"], "above"),
        _node("Relu", ["above"], "map"),
    ]
    cells = SIDE // POOL
    return _model(nodes, [_value_info("map", 1, cells, cells)], [_constant("bright", np.array(BRIGHT))])


def opposed_onnx() -> bytes:
    """AveragePool(image) and its negative → the two channels of map."""
    axis = _field(5, _field(1, "axis") + _field(3, 1) + _field(20, 2))
    nodes = [
        _pool_node("pooled"),
        _node("Neg", ["pooled"], "opposite"),
        _node("Concat", ["pooled", "opposite"], "map") + axis,
    ]
    cells = SIDE // POOL
    return _model(nodes, [_value_info("map", 2, cells, cells)])


def _pool_node(output: str, kind: str = "AveragePool") -> bytes:
    pool = b"".join(
        _field(5, _field(1, name) + _field(8, POOL) + _field(8, POOL) + _field(20, 7))
        for name in ("kernel_shape", "strides")
    )
    return _node(kind, ["image"], output) + pool


def _node(kind: str, inputs: Sequence[str], output: str) -> bytes:
    return b"".join(_field(1, name) for name in inputs) + _field(2, output) + _field(4, kind)


def _constant(name: str, values: NDArray[Any]) -> bytes:
    sides = b"".join(_field(1, side) for side in values.shape)
    return sides + _field(2, 1) + _field(8, name) + _field(9, values.astype("<f4").tobytes())


def _model(nodes: Sequence[bytes], outputs: Sequence[bytes], constants: Sequence[bytes] = ()) -> bytes:
    """ModelProto (onnx.proto) of a graph that takes a film; opset 18, IR version 9."""
    graph = b"".join(_field(1, node) for node in nodes) + _field(2, "toy")
    graph += b"".join(_field(5, constant) for constant in constants)
    graph += _field(11, _value_info("image", 1, SIDE, SIDE)) + b"".join(_field(12, output) for output in outputs)
    return _field(1, 9) + _field(7, graph) + _field(8, _field(1, "") + _field(2, 18))
