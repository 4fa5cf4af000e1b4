"""The arrows of the house point down: who may import whom (docs/architecture.md)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = ("firmware_app", "web", "converters", "hospital")

# A part may import parts of its own layer and below; what is not listed is a top-level module of the box (layer 4).
LAYER = {
    "errors": 0, "language": 0, "records": 0, "config": 0, "charset": 0, "clock": 0, "progress": 0, "address_space": 0,
    "identity": 0, "pipe": 0, "planted": 0, "version": 0, "other_objects": 0,
    "runtimes": 1,
    "tasks": 2, "imaging": 2, "packs": 2,
    "store": 3, "reading": 3, "reports": 3, "intake": 3, "uplink": 3, "device": 3,
}  # fmt: skip
TOP = 4

PIXEL_SIDE = {"imaging", "runtimes", "tasks", "reading"}


def imports(path: Path) -> Iterator[str]:
    """Every module of ours that *path* imports, at any depth, as a dotted name."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} uses a relative import"
            names = [node.module or ""]
            if node.module in OURS:
                names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        yield from (name for name in names if name.split(".")[0] in OURS)


def part(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def modules(package: str) -> list[Path]:
    found = sorted((ROOT / package).rglob("*.py"))
    assert found, f"{package} has no module"
    return found


def violations(package: str) -> Iterator[str]:
    for path in modules(package):
        here = path.relative_to(ROOT).with_suffix("").parts
        for name in imports(path):
            why = _forbidden(package, here[1] if len(here) > 1 else "", name)
            if why:
                yield f"{path.relative_to(ROOT)} imports {name}: {why}"


def _forbidden(package: str, here: str, name: str) -> str:
    target, there = name.split(".")[0], part(name)
    if there == "__version__":
        return ""
    if package == "firmware_app":
        if target != "firmware_app":
            return "the box imports nothing beside itself"
        if here in {"intake", "uplink"} and there in PIXEL_SIDE:
            return "what is on the network never touches pixels"
        if LAYER.get(there, TOP if there else 0) > LAYER.get(here, TOP):
            return "arrows point down"
    elif target not in {package, "firmware_app"}:
        return "the four packages do not know each other"
    elif target == "firmware_app" and package == "web" and there in {"runtimes", "intake"}:
        return "the viewer opens no DICOM and runs no model"
    elif target == "firmware_app" and package == "converters" and there not in {
        "imaging", "packs", "tasks", "runtimes", "records", "errors", "pipe"
    }:  # fmt: skip
        return "the converters share only the model side of the box"
    elif target == "firmware_app" and package == "hospital" and name not in {
        "firmware_app.uplink.summary", "firmware_app.uplink.envelope", "firmware_app.records", "firmware_app.errors",
        "firmware_app.pipe",  # how a command ends whose reader has gone
        "firmware_app.uplink.keys",
        "firmware_app.uplink.sealed_export",  # a case that is carried there by hand is sealed like a message
    }:  # fmt: skip
        return "the hospital knows only what is sealed for it"
    return ""


@pytest.mark.parametrize("package", OURS)
def test_arrows_point_down(package: str) -> None:
    assert list(violations(package)) == []


@pytest.mark.parametrize(
    ("package", "here", "name"),
    [
        ("firmware_app", "intake", "firmware_app.imaging.frames"),
        ("firmware_app", "uplink", "firmware_app.reading"),
        ("firmware_app", "store", "firmware_app.cli"),
        ("firmware_app", "runtimes", "firmware_app.packs.manifest"),
        ("firmware_app", "reading", "web"),
        ("web", "", "firmware_app.runtimes.choice"),
        ("converters", "", "firmware_app.store.clinical"),
        ("hospital", "", "firmware_app.config"),
        ("hospital", "", "converters.train"),
    ],
)
def test_a_forbidden_arrow_is_seen(package: str, here: str, name: str) -> None:
    assert _forbidden(package, here, name)


def test_what_the_box_installs_holds_no_training_stack() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    heavy = ("torch", "tensorflow", "rapidocr", "av", "opencv")
    assert not [name for name in project["dependencies"] if name.startswith(heavy)]
