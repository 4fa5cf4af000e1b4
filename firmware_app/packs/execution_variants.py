"""The variants in which a pack can be executed, a runtime and a precision each, and the results of trying them.

Which variants there are and which goes first are pure functions of manifest, configuration and results.  The reader,
`lantern doctor` and `lantern pack measure` share them and so agree.

The results and the variant in use are kept over restarts in one JSON file of the state.  A result holds for one model
file with its golden cases, one version of the runtime and one kind of processor; when one of them changes, the variant
is tried again.  The file is replaced atomically, and one that cannot be read counts as empty.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import TypeAdapter, ValidationError

from firmware_app.core.records import Reason
from firmware_app.core.runtimes import RuntimeSettings
from firmware_app.core.state_dir import write_atomically
from firmware_app.packs.pack_folder import Pack
from firmware_app.packs.runtimes import registry

if TYPE_CHECKING:
    from firmware_app.core.settings import ReaderSection
    # REMOVED

_PRECISIONS: Final = ("int8", "fp32", "fp16")
"""In the order in which they are started with before anything was measured: small first, then the original."""
ANY_PRECISION: Final = "any"
CLEARLY_FASTER: Final = 0.8
"""Another way replaces the one in use only if its inference takes at most this share of the time."""


@dataclass(frozen=True, slots=True)
class ExecutionVariant:
    """One way to run a pack."""

    runtime: str
    precision: str

    def __str__(self) -> str:
        return f"{self.runtime} {self.precision}"


def list_variants(pack: Pack, settings: ReaderSection) -> list[ExecutionVariant]:
    """Every way for which the pack has files and no refusal, in the order in which an unmeasured box tries them.

    The wanted precision comes first, then the runtimes in their order (`[reader] runtimes`, else the default first).
    """
    runtimes = settings.runtimes or tuple(registry.list_runtimes())
    return [
        ExecutionVariant(runtime, precision)
        for wanted in (True, False)
        for runtime in runtimes
        for precision in _PRECISIONS
        if (settings.precision in (ANY_PRECISION, precision)) is wanted and _has(pack, runtime, precision)
    ]


def rank_variants(
    ways: Sequence[ExecutionVariant],
    results: Mapping[ExecutionVariant, TrialResult],
    settings: ReaderSection,
    in_use: ExecutionVariant | None = None,
) -> list[ExecutionVariant]:
    """*ways* without those that were tried and are not right, the best first.

    The wanted precision first; then the runtimes that `[reader] runtimes` pins, in its order; then the one that the box
    keeps to (`Results.in_use`); then the fastest.  What was not measured keeps its place behind what was.
    """

    def merit(way: ExecutionVariant) -> tuple[bool, int, bool, float]:
        pinned = settings.runtimes.index(way.runtime) if settings.runtimes else 0
        return (
            settings.precision not in (ANY_PRECISION, way.precision),
            pinned,
            way != in_use,
            _milliseconds(results.get(way)),
        )

    return sorted((way for way in ways if way not in results or results[way].is_right), key=merit)


def find_contender(
    order: Sequence[ExecutionVariant], results: Mapping[ExecutionVariant, TrialResult], settings: ReaderSection
) -> ExecutionVariant | None:
    """Which of *order* is clearly faster than its first, by what was measured; None when that one may stay.

    Two measurements of the same way differ by a tenth from one afternoon to the next, so a small lead is none.
    """
    times = {way: _milliseconds(results.get(way)) for way in order}
    alike = [
        way
        for way in order[1:]
        if rank_variants([order[0], way], {}, settings, in_use=way)[0]
        == way  # what the settings want goes before any speed
    ]
    best = min(alike, key=lambda way: times[way], default=None)
    return best if best is not None and times[best] <= CLEARLY_FASTER * times[order[0]] < math.inf else None


def is_choice_free(settings: ReaderSection) -> bool:
    """Whether the box itself chooses among all ways, so that its choice is worth keeping."""
    return settings.precision == ANY_PRECISION and not settings.runtimes


def _milliseconds(result: TrialResult | None) -> float:
    return math.inf if result is None or result.milliseconds is None else result.milliseconds


def _has(pack: Pack, runtime: str, precision: str) -> bool:
    """Whether there is a file for it.  One of another runtime's does not stand in for one that the gates refused."""
    if not pack.has(runtime, precision):
        return False
    refused = {(refused_artefact.runtime, refused_artefact.precision) for refused_artefact in pack.manifest.refused}
    return (runtime, precision) not in refused or pack.find_artefact(runtime, precision).runtime == runtime


log = logging.getLogger("lantern.reader")

MOST_RESULTS: Final = 500
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
    def is_right(self) -> bool:
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


class TrialResults:
    """The file at *path*.  Where two processes write at once, the later one's content stays."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read_results(
        self, pack: Pack, ways: list[ExecutionVariant], settings: RuntimeSettings
    ) -> dict[ExecutionVariant, TrialResult]:
        """The results of *ways* with these *settings*, as far as they still hold."""
        kept = self._read()
        keys = {way: result_key(pack, way, settings) for way in ways}
        return {way: kept[name].result for way, name in keys.items() if name in kept}

    def keep(self, pack: Pack, result: TrialResult, settings: RuntimeSettings) -> None:
        """Save *result*; if that fails, the way is only tried again at the next start."""
        way = ExecutionVariant(result.runtime, result.precision)
        name = result_key(pack, way, settings)
        kept = {other: one for other, one in self._read().items() if other != name}
        kept[name] = _KeptResult(
            pack.name, pack.find_artefact(way.runtime, way.precision).sha256, describe_processor()[0], result
        )
        self._put(kept, self._choices())

    def read_choice(self, pack: Pack, settings: RuntimeSettings) -> ExecutionVariant | None:
        """The way in which this version of *pack* was last run on this processor with as many threads."""
        one = self._choices().get(_pack_version(pack))
        if one is None or (one.processor, one.threads) != (describe_processor(), settings.threads):
            return None
        return ExecutionVariant(one.runtime, one.precision)

    def save_choice(self, pack: Pack, way: ExecutionVariant, settings: RuntimeSettings) -> None:
        """Save *way* as the one in use; a failure is logged, as with `keep`."""
        chosen = {name: one for name, one in self._choices().items() if name != _pack_version(pack)}
        chosen[_pack_version(pack)] = _InUse(way.runtime, way.precision, describe_processor(), settings.threads)
        self._put(self._read(), chosen)

    def _put(self, kept: Mapping[str, _KeptResult], chosen: Mapping[str, _InUse]) -> None:
        content = {
            "form": _FORM,
            "results": {name: asdict(one) for name, one in list(kept.items())[-MOST_RESULTS:]},
            "in_use": {name: asdict(one) for name, one in list(chosen.items())[-MOST_RESULTS:]},
        }
        text = json.dumps(content, indent=1)
        try:
            _write_text(self._path, text)
        except OSError as error:
            log.warning("the results of trying the runtimes could not be saved: %s", error.strerror)

    def read_mtime_ns(self) -> int:
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


def _pack_version(pack: Pack) -> str:
    return f"{pack.name} {pack.manifest.version}"


def result_key(pack: Pack, way: ExecutionVariant, settings: RuntimeSettings) -> str:
    """The name of a trial: the SHA-256 of everything that its result can depend on."""
    file = pack.find_artefact(way.runtime, way.precision)
    asked_of = pack.manifest.model_dump(mode="json", include={"input", "output", "findings", "golden"})
    own = settings.select(way.runtime)
    asked: dict[str, Any] = {
        "files": file.digests,
        "tolerance": file.golden_tolerance,
        "told": asked_of,
        "way": str(way),
        "threads": own.pop("threads"),
        "version": registry.installed_version(way.runtime),
        "processor": describe_processor(),
    }
    if own:
        asked["settings"] = own
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


@cache
def describe_processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> tuple[str, str, int]:
    """This machine's processor: its model, its features (hashed) and how many cores this process may use."""
    try:
        text = cpuinfo.read_text("utf-8", "replace")
    except OSError:
        text = ""
    facts = dict(_split_pair(line) for line in reversed(text.splitlines()) if ":" in line)
    model = facts.get("model name") or "-".join(facts.get(name, "") for name in ("CPU implementer", "CPU part"))
    features = facts.get("flags") or facts.get("Features") or ""
    digest = hashlib.sha256(" ".join(sorted(features.split())).encode()).hexdigest()[:16]
    return f"{platform.machine()} {model}".strip(" -"), digest, len(os.sched_getaffinity(0))


def _split_pair(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.strip(), value.strip()


def _write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, text.encode(), _FILE_MODE)


def result_as_json(result: TrialResult, language: str, chosen: bool) -> Mapping[str, object]:
    """One line of `lantern pack measure --json`."""
    reason = result.reason
    return {
        "runtime": result.runtime,
        "precision": result.precision,
        "version": result.version,
        "milliseconds": None if result.milliseconds is None else round(result.milliseconds, 3),
        "cases": result.cases,
        "right": result.is_right,
        "chosen": chosen,
        "reason": None if reason is None else {"code": reason.code, "text": reason.text(language)},
    }
