"""The packages with which a pack was made, as a CycloneDX 1.6 bill of materials."""

import json
import platform
import re
from collections.abc import Sequence
from importlib.metadata import distributions
from pathlib import Path
from typing import Any
from urllib.parse import quote

from converters.workflow.atomic import write_json

NAME = "sbom.json"


def write(path: Path) -> Path:
    """Write the bill of this Python's packages: name, version and package URL, by name; nothing of the machine."""
    installed = {
        normal(distribution.name): distribution.version for distribution in distributions() if distribution.name
    }
    components = [library(name, version) for name, version in sorted(installed.items())]
    python = {"type": "platform", "name": "python", "version": platform.python_version()}
    return write_bill(path, [python, *components])


def library(name: str, version: str) -> dict[str, Any]:
    """The component of a package on PyPI; *name* as `normal` writes it."""
    return {"type": "library", "name": name, "version": version, "purl": f"pkg:pypi/{name}@{quote(version)}"}


def write_bill(path: Path, components: Sequence[dict[str, Any]], **more: object) -> Path:
    """Write a bill of *components*; *more*: other parts of a CycloneDX document, by name."""
    head = {"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1}
    return write_json(path, {**head, **more, "components": list(components)})


def normal(name: str) -> str:
    """A package's name as PEP 503 writes it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def read(path: Path) -> dict[str, str]:
    """Name → version of a bill's packages."""
    bill = json.loads(path.read_text(encoding="utf-8"))
    return {one["name"]: one["version"] for one in bill["components"]}
