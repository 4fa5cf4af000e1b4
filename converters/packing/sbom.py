"""The packages with which a pack was made, as a CycloneDX 1.6 bill of materials."""

import json
import platform
import re
from importlib.metadata import distributions
from pathlib import Path

from converters.workflow.atomic import write_json

NAME = "sbom.json"


def write(path: Path) -> Path:
    """Write the bill of this Python's packages: name, version and package URL, by name; nothing of the machine."""
    installed = {normal(one.name): one.version for one in distributions() if one.name}
    components = [
        {"type": "library", "name": name, "version": version, "purl": f"pkg:pypi/{name}@{version}"}
        for name, version in sorted(installed.items())
    ]
    python = {"type": "platform", "name": "python", "version": platform.python_version()}
    return write_json(path, {
        "bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "components": [python, *components],
    })  # fmt: skip


def normal(name: str) -> str:
    """A package's name as PEP 503 writes it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def read(path: Path) -> dict[str, str]:
    """Name → version of a bill's packages."""
    bill = json.loads(path.read_text(encoding="utf-8"))
    return {one["name"]: one["version"] for one in bill["components"]}
