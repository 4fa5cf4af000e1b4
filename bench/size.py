"""What each part of an installation takes on the disk.

A new virtual environment, into which pip installs this checkout part by part, at the versions of constraints.txt: the
bare box first, then one extra after the other. Each distribution's files are added up from what pip recorded, byte
code included. A library that two parts need counts with the first of them.

    python -m bench.size [--json] [--quick]

With --quick only the bare box is installed.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Mapping
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Final

from bench import harness
from bench.outcome import Row, Table

_PARTS: Final = {
    "the box": "",
    "+ intel (OpenVINO)": "[intel]",
    "+ tflite (LiteRT)": "[tflite]",
    "+ hospital": "[hospital]",
    "+ demo": "[demo]",
}
_TOOLS: Final = frozenset({"pip", "setuptools"})
_LARGEST: Final = 10
_LIMIT_S: Final = 300


def main() -> None:
    options = harness.parse(harness.parser())
    sizes: dict[str, float] = {}
    added: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(prefix="lantern-bench-") as name:
        environment = Path(name) / "venv"
        subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
        for part, extra in list(_PARTS.items())[: 1 if options.quick else None]:
            harness.progress(f"installing {part}")
            _install(environment, f"{harness.REPOSITORY}{extra}")
            measured = _sizes(environment)
            added[part] = {key: size for key, size in measured.items() if key not in sizes}
            sizes = measured
    harness.publish(options, "Size of an installation", _tables(added))


def _install(environment: Path, what: str) -> None:
    constraints = str(harness.REPOSITORY / "constraints.txt")
    command = [str(environment / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run(
        [*command, "--constraint", constraints, what], capture_output=True, text=True, check=False, timeout=_LIMIT_S
    )
    if done.returncode != 0:
        harness.leave_out(f"pip cannot install here: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}")


def _sizes(environment: Path) -> dict[str, float]:
    """MB of each installed distribution, `name version` → size."""
    [packages] = environment.glob("lib/python*/site-packages")
    return {
        f"{distribution.metadata['Name']} {distribution.version}": _megabytes(distribution)
        for distribution in distributions(path=[str(packages)])
        if distribution.metadata["Name"].lower() not in _TOOLS
    }


def _megabytes(distribution: Distribution) -> float:
    paths = {Path(str(distribution.locate_file(file))) for file in distribution.files or ()}
    return sum(path.stat().st_size for path in paths if path.is_file()) / 1e6


def _tables(added: Mapping[str, Mapping[str, float]]) -> list[Table]:
    parts = tuple(Row(part, (sum(sizes.values()),)) for part, sizes in added.items() if sizes)
    nothing = [part for part, sizes in added.items() if not sizes]
    everything = [(f"{name} ({part})", size) for part, sizes in added.items() for name, size in sizes.items()]
    largest = sorted(everything, key=lambda each: -each[1])[:_LARGEST]
    return [
        Table(
            "What each part adds",
            "MB",
            parts,
            {"adds nothing of its own": ", ".join(nothing)} if nothing else {},
            compared=False,
        ),
        Table.aside(f"The {len(largest)} largest distributions", "MB", (Row(name, (size,)) for name, size in largest)),
    ]


if __name__ == "__main__":
    main()
