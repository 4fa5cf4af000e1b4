"""The parent's side of the trial child: tries a way to run a pack, with a limit on time and memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from pydantic import TypeAdapter, ValidationError

from firmware_app.core.child_process import Child, ChildJobs, ChildLost
from firmware_app.core.errors import LanternError, RuntimeUnavailable
from firmware_app.core.records import Reason
from firmware_app.core.runtimes import RuntimeSettings
from firmware_app.packs import execution_variants
from firmware_app.packs.execution_variants import ExecutionVariant, TrialResult
from firmware_app.packs.pack_folder import Pack
from firmware_app.reading.errors import RUNTIME_HUNG, RUNTIME_STOPPED
from firmware_app.reading.inference import MEMORY_MB

if TYPE_CHECKING:
    from firmware_app.core.settings import Config

SECONDS: Final = 180.0
"""For loading a model, its golden cases and the timed inferences together; a slow box needs a few seconds, an emulated
one (tests/faults/flashed_box.py) a minute or two, and a way that is given up for slowness is given up for good."""
PROBE_SECONDS: Final = 30.0
MOST_TRIES: Final = 2
"""For a way that crashed or hung, counted over restarts: the box may have been short of memory at that moment."""
ABSENT: Final = RuntimeUnavailable.code
_LOST: Final = frozenset({RUNTIME_STOPPED.code, RUNTIME_HUNG.code})
_LOOK_SECONDS: Final = 0.05
_REASON: Final = TypeAdapter(Reason)


class VariantTrial:
    """A running trial of one way.  `poll` waits only when asked to; `stop` abandons the trial."""

    def __init__(
        self, pack: Pack, way: ExecutionVariant, settings: RuntimeSettings, seconds: float = SECONDS, tries: int = 1
    ) -> None:
        """*tries* counts this one.  The thread that makes it must outlive it, as with every `Child`."""
        self.pack, self.way = pack, way
        self._seconds, self._tries = seconds, tries
        job = {
            "job": "try",
            "folder": str(pack.folder),
            "runtime": way.runtime,
            "precision": way.precision,
            "settings": settings.select(way.runtime),
        }
        self._jobs = ChildJobs(_spawn_child(seconds), [job], seconds)

    def poll(self, patience: float = 0.0) -> TrialResult | None:
        """The result, after which the child has ended; None while it works.  Waits up to *patience* seconds."""
        try:
            if not self._jobs.is_done(patience):
                return None
        except ChildLost as lost:
            return self._build_failure(RUNTIME_STOPPED(**self._list_placeholders(), detail=lost.detail))
        except TimeoutError:
            return self._build_failure(RUNTIME_HUNG(**self._list_placeholders(), seconds=round(self._seconds)))
        self._jobs.stop()
        answer = self._jobs.answers[0].header
        try:
            if "refusal" in answer:
                return self._build_failure(_REASON.validate_python(answer["refusal"]))
            tried = answer["tried"]
            version = None if tried["version"] is None else str(tried["version"])[:80]
            return TrialResult(
                runtime=self.way.runtime,
                precision=self.way.precision,
                version=version,
                milliseconds=float(tried["milliseconds"]),
                cases=int(tried["cases"]),
                reason=None,
                tries=self._tries,
            )
        except (KeyError, TypeError, ValueError, ValidationError):
            return self._build_failure(
                RUNTIME_STOPPED(**self._list_placeholders(), detail="it sent an invalid message")
            )

    def stop(self) -> None:
        self._jobs.stop()

    def _list_placeholders(self) -> dict[str, str]:
        return {"pack": self.pack.name, "runtime": self.way.runtime, "precision": self.way.precision}

    def _build_failure(self, why: LanternError | Reason) -> TrialResult:
        reason = why if isinstance(why, Reason) else Reason.from_error(why)
        return TrialResult(
            runtime=self.way.runtime,
            precision=self.way.precision,
            version=None,
            milliseconds=None,
            cases=0,
            reason=reason,
            tries=self._tries,
        )


def is_final(result: TrialResult) -> bool:
    """Whether *result* holds until something changes; otherwise the way is tried again."""
    return result.is_right or result.reason is None or result.reason.code not in _LOST or result.tries >= MOST_TRIES


def is_kept(result: TrialResult) -> bool:
    """Whether *result* is to be saved: an absent library is not, since it may be installed by the next start."""
    return result.reason is None or result.reason.code != ABSENT


def try_variant(pack: Pack, way: ExecutionVariant, settings: RuntimeSettings, seconds: float = SECONDS) -> TrialResult:
    """Try *way* and wait for the result."""
    trial = VariantTrial(pack, way, settings, seconds)
    try:
        while (result := trial.poll(_LOOK_SECONDS)) is None:
            pass
        return result
    finally:
        trial.stop()


def check_pack(pack: Pack, config: Config, goes_on: Callable[[], bool] = lambda: True) -> list[TrialResult] | None:
    """Try the ways to run *pack* until one answers its golden cases rightly here: that is the last result then.

    None when *goes_on* no longer holds.
    """
    results: list[TrialResult] = []
    for way in execution_variants.list_variants(pack, config.reader):
        trial = VariantTrial(pack, way, config.runtime_settings)
        try:
            while (result := trial.poll(_LOOK_SECONDS)) is None:
                if not goes_on():
                    return None
        finally:
            trial.stop()
        results.append(result)
        if result.is_right:
            break
    return results


def describe_failures(results: Sequence[TrialResult]) -> str:
    """Why no way was right, for the brackets of a sentence."""
    said = [
        f"{result.runtime} {result.precision}: {result.reason.code}" for result in results if result.reason is not None
    ]
    return "; ".join(said) or "it has no file for a runtime of this box"


def probe_runtimes(runtimes: Sequence[str], seconds: float = PROBE_SECONDS) -> dict[str, Mapping[str, Any]]:
    """``available``, ``version`` and ``detail`` of each runtime, each probed in a process of its own."""
    jobs_of = {key: ChildJobs(_spawn_child(seconds), [{"job": "probe", "runtime": key}], seconds) for key in runtimes}
    answers: dict[str, Mapping[str, Any]] = {}
    try:
        while len(answers) < len(jobs_of):
            for key in (key for key in runtimes if key not in answers):
                answer = _probe(jobs_of[key])
                if answer is not None:
                    answers[key] = answer
    finally:
        for jobs in jobs_of.values():
            jobs.stop()
    return {key: answers[key] for key in runtimes}


def _probe(jobs: ChildJobs) -> Mapping[str, Any] | None:
    try:
        if not jobs.is_done(_LOOK_SECONDS):
            return None
        probe = jobs.answers[0].header["probe"]
        return {"available": bool(probe["available"]), "version": probe["version"], "detail": str(probe["detail"])}
    except ChildLost as lost:
        return {"available": False, "version": None, "detail": f"asking for it ended with {lost.detail}"}
    except TimeoutError:
        return {"available": False, "version": None, "detail": "it does not answer"}
    except (KeyError, TypeError):
        return {"available": False, "version": None, "detail": "it sent an invalid message"}


def _spawn_child(seconds: float) -> Child:
    """Silent: the error's sentence already says what a failing runtime would print."""
    return Child("firmware_app.reading.children.trial_child", (str(MEMORY_MB), str(seconds * 64)), silent=True)
