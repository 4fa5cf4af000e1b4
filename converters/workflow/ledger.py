"""What has been done, and from what: a step whose recipe tables and inputs are unchanged is not done again.

Each step ends by writing ``work/<step>.json`` with its fingerprint, its results and the files it made with their
SHA-256. A step's fingerprint covers the recipe tables it reads, the fingerprints of the steps before it and the digest
of its data, pictures and labels; so changing ``[prune]`` repeats pruning and what
follows, and leaves the teacher alone.
The converter's own code is noted, as the digest of its modules, and repeats nothing: whoever changes it decides.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from converters.failures import StepMissing
from converters.workflow.atomic import write_json


@dataclass(frozen=True, slots=True)
class Ledger:
    """The steps done in one work folder."""

    work: Path

    def fingerprint(self, tables: Mapping[str, Any], before: Sequence[str] = (), data: str = "") -> str:
        """SHA-256 of the tables' values, the entries of the steps ``before`` and the data's digest."""
        earlier = [self._entry(step).get("fingerprint", "") for step in before]
        content = json.dumps([tables, earlier, data], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()

    def results(self, step: str, fingerprint: str) -> dict[str, Any] | None:
        """What ``step`` found when it was last done from the same inputs and its files are still as it left them."""
        entry = self._entry(step)
        if entry.get("fingerprint") != fingerprint:
            return None
        for name, digest in entry["files"].items():
            if not (self.work / name).is_file() or digest_of(self.work / name) != digest:
                return None
        results: dict[str, Any] = entry["results"]
        return results

    def done(self, step: str, fingerprint: str, results: Mapping[str, Any], files: Sequence[Path]) -> None:
        """Record that ``step`` is done. Call it last."""
        made = {path.relative_to(self.work).as_posix(): digest_of(path) for path in files}
        entry = {"fingerprint": fingerprint, "code": code(), "results": results, "files": made}
        write_json(self.work / f"{step}.json", entry)

    def made_by(self, steps: Sequence[str]) -> dict[str, str]:
        """Step → the digest of the code that did it, of those done; "" where an older converter did not note it."""
        entries = {step: self._entry(step) for step in steps}
        return {step: str(entry.get("code", "")) for step, entry in entries.items() if entry}

    def read(self, step: str) -> dict[str, Any]:
        """The results of a step that must have been done; raises :class:`StepMissing` naming it."""
        entry = self._entry(step)
        if not entry:
            raise StepMissing(step, str(self.work))
        results: dict[str, Any] = entry["results"]
        return results

    def _entry(self, step: str) -> dict[str, Any]:
        try:
            entry: dict[str, Any] = json.loads((self.work / f"{step}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return entry


@cache
def code() -> str:
    """The SHA-256 of this package's modules, by name and content."""
    root = Path(__file__).parents[1]
    listing = "".join(f"{path.relative_to(root).as_posix()} {digest_of(path)}\n" for path in sorted(root.rglob("*.py")))
    return hashlib.sha256(listing.encode()).hexdigest()


def digest_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
