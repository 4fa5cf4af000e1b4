"""The bill of materials of Lantern itself, beside its wheel: what a box needs, in the versions of constraints.txt.

    python -m converters.publishing.distribution_sbom build/wheels --extras intel,tflite

writes ``FOLDER/lantern_box-VERSION.cdx.json`` (CycloneDX 1.6).  A package is looked up among the wheels of the folder,
and then its SHA-256 stands in the bill; one that is not there is described as it is installed beside this Python.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import Distribution, PackageNotFoundError
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from converters.packing import sbom

OURS = "lantern-box"
_LONGEST_LICENCE = 60
"""Some packages put the whole text of their licence where its name belongs."""


@dataclass(frozen=True)
class Package:
    """One distribution, and the digest of its wheel where that is at hand."""

    about: Distribution
    sha256: str | None = None

    @property
    def reference(self) -> str:
        """The package URL, by which a bill names it."""
        return str(self.component()["purl"])

    def component(self) -> dict[str, Any]:
        """Return it as a CycloneDX component."""
        component = sbom.library(sbom.normal(self.about.name), self.about.version)
        component["bom-ref"] = component["purl"]
        if licences := _licences(self.about):
            component["licenses"] = licences
        if self.sha256 is not None:
            component["hashes"] = [{"alg": "SHA-256", "content": self.sha256}]
        return component

    def needs(self, extras: frozenset[str]) -> list[Requirement]:
        """What it requires on this Python and system with *extras*."""
        asked = [Requirement(line) for line in self.about.requires or ()]
        worlds = [{"extra": extra} for extra in extras or {""}]
        return [
            requirement
            for requirement in asked
            if requirement.marker is None or any(requirement.marker.evaluate(world) for world in worlds)
        ]


def _licences(about: Distribution) -> list[dict[str, Any]]:
    """PEP 639's expression where there is one, else what the older fields call it."""
    said = about.metadata
    if "License-Expression" in said:
        return [{"expression": said["License-Expression"]}]
    classified = [line.split(" :: ")[-1] for line in said.get_all("Classifier") or [] if line.startswith("License ::")]
    name = said["License"].strip() if "License" in said else ""
    named = [name] if name and len(name) <= _LONGEST_LICENCE and "\n" not in name else classified
    return [{"license": {"name": one}} for one in named]


def wheels(folder: Path) -> dict[str, Package]:
    """The wheels in *folder* by their normal name."""
    found = {}
    for path in sorted(folder.glob("*.whl")):
        with zipfile.ZipFile(path) as packed:
            (metadata,) = (name for name in packed.namelist() if name.endswith(".dist-info/METADATA"))
            # importlib reads from the open archive when it is asked, so all that is needed is taken out here.
            about = _Read({"METADATA": packed.read(metadata).decode()})
        found[sbom.normal(about.name)] = Package(about, hashlib.sha256(path.read_bytes()).hexdigest())
    return found


class _Read(Distribution):
    """A distribution whose metadata have been read already."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts

    def read_text(self, filename: str) -> str | None:
        return self._texts.get(filename)

    def locate_file(self, path: object) -> Any:  # nothing of it lies anywhere
        raise NotImplementedError


def list_needed(
    top: Package, extras: frozenset[str], there: Mapping[str, Package]
) -> dict[str, tuple[Package, list[str]]]:
    """Every package that *top* needs, itself included, by name -> (it, the names that it needs).

    Raises `importlib.metadata.PackageNotFoundError` when one is neither *there* nor installed.
    """
    asked: dict[str, frozenset[str]] = {}
    arrows: dict[str, tuple[Package, list[str]]] = {}
    waiting = [(sbom.normal(top.about.name), extras)]
    while waiting:
        name, wanted = waiting.pop()
        if name in asked and wanted <= asked[name]:
            continue
        asked[name] = asked.get(name, frozenset()) | wanted
        package = top if name == sbom.normal(top.about.name) else there.get(name)
        package = package or Package(Distribution.from_name(name))
        requirements = package.needs(asked[name])
        arrows[name] = package, sorted({sbom.normal(requirement.name) for requirement in requirements})
        waiting += [(sbom.normal(requirement.name), frozenset(requirement.extras)) for requirement in requirements]
    return dict(sorted(arrows.items()))


def write(folder: Path, extras: frozenset[str]) -> Path:
    """Write the bill of the wheel of ours in *folder*.  The time in it is SOURCE_DATE_EPOCH's."""
    there = wheels(folder)
    top = there[OURS]
    tree = list_needed(top, extras, there)
    made = datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", "0")), UTC)
    return sbom.write_bill(
        folder / f"lantern_box-{top.about.version}.cdx.json",
        [package.component() for name, (package, _) in tree.items() if name != OURS],
        metadata={
            "timestamp": made.isoformat().replace("+00:00", "Z"),
            "component": {**top.component(), "type": "application"},
        },
        dependencies=[
            {"ref": package.reference, "dependsOn": [tree[name][0].reference for name in names]}
            for package, names in tree.values()
        ],
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m converters.publishing.distribution_sbom", description=__doc__)
    parser.add_argument("folder", type=Path, help="where our wheel lies, and those of other packages if they are there")
    parser.add_argument("--extras", default="", help="of our wheel, with commas")
    options = parser.parse_args(arguments)
    try:
        print(write(options.folder, frozenset(word for word in options.extras.split(",") if word)))
    except PackageNotFoundError as missing:
        print(f"{missing.name} is neither in {options.folder} nor installed.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
