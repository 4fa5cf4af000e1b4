"""The results of trying each way to run a pack on this box, and the way in use, kept over restarts.

One JSON file in the state.  A result holds for one model file with its golden cases, one version of the runtime and one
kind of processor; when one of them changes, the way is tried again.  The file is replaced atomically, and one that
cannot be read counts as empty.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from firmware_app.core.planted import put_in_place
from firmware_app.core.records import Reason
from firmware_app.core.settings.runtimes import RuntimeSettings
from firmware_app.packs.runtimes import choice
from firmware_app.packs.shelf import Pack
from firmware_app.packs.ways import Way

log = logging.getLogger("lantern.reader")

MOST: Final = 500
_FORM: Final = 1
_FILE_MODE: Final = 0o660


@dataclass(frozen=True, slots=True)
class TrialResult:
    """One way tried: the median time of an inference and how many golden cases it answered, or why it failed."""

    runtime: str
    precision: str
    version: str | None
    milliseconds: float | None
    cases: int
    reason: Reason | None
    tries: int = 1

    @property
    def right(self) -> bool:
        return self.reason is None


@dataclass(frozen=True, slots=True)
class _KeptResult:
    """A result in the file, with pack, artefact and processor for a person who reads the file."""

    pack: str
    artefact: str
    processor: str
    result: TrialResult


@dataclass(frozen=True, slots=True)
class _InUse:
    """The way in which a version of a pack is run, and the processor and threads for which it was chosen."""

    runtime: str
    precision: str
    processor: tuple[str, str, int]
    threads: int


_FILE: Final = TypeAdapter(dict[str, _KeptResult])
_CHOICES: Final = TypeAdapter(dict[str, _InUse])


class Results:
    """The file at *path*.  Where two processes write at once, the later one's content stays."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def known(self, pack: Pack, ways: list[Way], settings: RuntimeSettings) -> dict[Way, TrialResult]:
        """The results of *ways* with these *settings*, as far as they still hold."""
        kept = self._read()
        keys = {way: key(pack, way, settings) for way in ways}
        return {way: kept[name].result for way, name in keys.items() if name in kept}

    def keep(self, pack: Pack, result: TrialResult, settings: RuntimeSettings) -> None:
        """Save *result*; if that fails, the way is only tried again at the next start."""
        way = Way(result.runtime, result.precision)
        name = key(pack, way, settings)
        kept = {other: one for other, one in self._read().items() if other != name}
        kept[name] = _KeptResult(pack.name, pack.described(way.runtime, way.precision).sha256, processor()[0], result)
        self._put(kept, self._choices())

    def in_use(self, pack: Pack, settings: RuntimeSettings) -> Way | None:
        """The way in which this version of *pack* was last run on this processor with as many threads."""
        one = self._choices().get(_version(pack))
        if one is None or (one.processor, one.threads) != (processor(), settings.threads):
            return None
        return Way(one.runtime, one.precision)

    def use(self, pack: Pack, way: Way, settings: RuntimeSettings) -> None:
        """Save *way* as the one in use; a failure is logged, as with `keep`."""
        chosen = {name: one for name, one in self._choices().items() if name != _version(pack)}
        chosen[_version(pack)] = _InUse(way.runtime, way.precision, processor(), settings.threads)
        self._put(self._read(), chosen)

    def _put(self, kept: Mapping[str, _KeptResult], chosen: Mapping[str, _InUse]) -> None:
        content = {
            "form": _FORM,
            "results": {name: asdict(one) for name, one in list(kept.items())[-MOST:]},
            "in_use": {name: asdict(one) for name, one in list(chosen.items())[-MOST:]},
        }
        text = json.dumps(content, indent=1)
        try:
            _write(self._path, text)
        except OSError as error:
            log.warning("the results of trying the runtimes could not be saved: %s", error.strerror)

    def mark(self) -> int:
        """A number that changes whenever the file is written."""
        try:
            return self._path.stat().st_mtime_ns
        except OSError:
            return 0

    def _read(self) -> dict[str, _KeptResult]:
        try:
            content = json.loads(self._path.read_bytes())
            return _FILE.validate_python(content["results"]) if content["form"] == _FORM else {}
        except (OSError, ValueError, TypeError, KeyError, ValidationError):
            return {}

    def _choices(self) -> dict[str, _InUse]:
        try:
            return _CHOICES.validate_python(json.loads(self._path.read_bytes())["in_use"])
        except (OSError, ValueError, TypeError, KeyError, ValidationError):
            return {}


def _version(pack: Pack) -> str:
    return f"{pack.name} {pack.manifest.version}"


def key(pack: Pack, way: Way, settings: RuntimeSettings) -> str:
    """The name of a trial: the SHA-256 of everything that its result can depend on."""
    file = pack.described(way.runtime, way.precision)
    asked_of = pack.manifest.model_dump(mode="json", include={"input", "output", "findings", "golden"})
    own = settings.of(way.runtime)
    asked: dict[str, Any] = {
        "files": file.promised,
        "tolerance": file.golden_tolerance,
        "told": asked_of,
        "way": str(way),
        "threads": own.pop("threads"),
        "version": choice.installed_version(way.runtime),
        "processor": processor(),
    }
    if own:
        asked["settings"] = own
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


@cache
def processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> tuple[str, str, int]:
    """This machine's processor: its model, its features (hashed) and how many cores this process may use."""
    try:
        text = cpuinfo.read_text("utf-8", "replace")
    except OSError:
        text = ""
    facts = dict(_pair(line) for line in reversed(text.splitlines()) if ":" in line)
    model = facts.get("model name") or "-".join(facts.get(name, "") for name in ("CPU implementer", "CPU part"))
    features = facts.get("flags") or facts.get("Features") or ""
    digest = hashlib.sha256(" ".join(sorted(features.split())).encode()).hexdigest()[:16]
    return f"{platform.machine()} {model}".strip(" -"), digest, len(os.sched_getaffinity(0))


def _pair(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.strip(), value.strip()


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, part = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), _FILE_MODE)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        put_in_place(Path(part), path)
    finally:
        Path(part).unlink(missing_ok=True)  # gone already where it was renamed


def as_json(result: TrialResult, language: str, chosen: bool) -> Mapping[str, object]:
    """One line of `lantern pack measure --json`."""
    reason = result.reason
    return {
        "runtime": result.runtime,
        "precision": result.precision,
        "version": result.version,
        "milliseconds": None if result.milliseconds is None else round(result.milliseconds, 3),
        "cases": result.cases,
        "right": result.right,
        "chosen": chosen,
        "reason": None if reason is None else {"code": reason.code, "text": reason.text(language)},
    }
