"""The campaign's report: one JSON object, or a page of Markdown made from the same numbers."""

from __future__ import annotations

import os
import platform
import subprocess
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import metadata
from typing import Any, Final

from firmware_app.core.version import version
from tests.faults.scene import Outcome

KEPT, BROKEN = "kept  ", "BROKEN"
MARKS: Final = (KEPT, BROKEN)
_COUNTS: Final = ("acknowledged", "lost", "unread", "read_twice", "counted", "uncounted", "counted_twice", "restarts")


@dataclass(frozen=True, slots=True)
class Report:
    """All outcomes of one campaign, and how to repeat it."""

    seed: int
    minutes: float
    seconds: float
    outcomes: tuple[Outcome, ...]

    @property
    def holds(self) -> bool:
        return all(outcome.holds for outcome in self.outcomes)

    def total(self, count: str) -> int:
        return sum(getattr(outcome, count) for outcome in self.outcomes)

    @property
    def refused(self) -> Counter[str]:
        return sum((outcome.refused for outcome in self.outcomes), Counter[str]())

    @property
    def longest_outage_s(self) -> float:
        return max((outcome.longest_outage_s for outcome in self.outcomes), default=0.0)

    @property
    def command(self) -> str:
        return f"python -m tests.faults.campaign --minutes {self.minutes:g} --seed {self.seed}"

    def to_object(self) -> dict[str, Any]:
        return {
            "schema": "lantern.torture/1",
            "command": self.command,
            "seed": self.seed,
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(self.seconds, 1),
            "holds": self.holds,
            "versions": versions(),
            **{count: self.total(count) for count in _COUNTS},
            "refused": dict(self.refused),
            "unexpected": [said for outcome in self.outcomes for said in outcome.unexpected],
            "longest_outage_s": round(self.longest_outage_s, 2),
            "attacks": [_object(outcome) for outcome in self.outcomes],
        }

    def summary(self) -> str:
        """Three lines for whoever ran it."""
        counts = ", ".join(f"{count.replace('_', ' ')} {self.total(count)}" for count in _COUNTS)
        return "\n".join(
            (
                counts,
                f"longest outage {self.longest_outage_s:.1f} s; repeat it: {self.command}",
                "every promise held" if self.holds else "A PROMISE WAS BROKEN; see what is marked",
            )
        )

    def markdown(self) -> str:
        version_of = versions()
        parts = [
            "# What the box was put through",
            "",
            f"Made in {self.seconds / 60:.0f} minutes on {os.cpu_count()} cores, {datetime.now(UTC):%Y-%m-%d}, by",
            "",
            f"```\n{self.command} --report docs/torture.md\n```",
            "",
            "as root (`make torture` takes an hour and other instants; the seed repeats these).",
            "Nothing here is simulated: the whole `lantern serve` runs, dcmtk's storescu sends films made by code, the",
            "summaries go through mosquitto over TLS to a running `lantern-hospital serve`, and the disks are ext4 on",
            "loop devices. Every film is a study of its own and is sent until it is acknowledged.",
            "",
            f"**{'Every promise held.' if self.holds else 'A promise was broken.'}**",
            "",
            _table(
                ("acknowledged", "lost", "read twice", "counted by the hospital", "counted twice", "longest outage"),
                [
                    (
                        self.total("acknowledged"),
                        self.total("lost"),
                        self.total("read_twice"),
                        self.total("counted"),
                        self.total("counted_twice"),
                        f"{self.longest_outage_s:.1f} s",
                    )
                ],
            ),
            "",
            "## Attack by attack",
            "",
            _table(
                (
                    "attack",
                    "what was done",
                    "acknowledged",
                    "lost",
                    "unread",
                    "read twice",
                    "counted",
                    "uncounted",
                    "counted twice",
                    "longest outage",
                    "result",
                ),
                [
                    (
                        outcome.attack,
                        outcome.strikes,
                        outcome.acknowledged,
                        outcome.lost,
                        outcome.unread,
                        outcome.read_twice,
                        outcome.counted or "–",
                        outcome.uncounted,
                        outcome.counted_twice,
                        f"{outcome.longest_outage_s:.1f} s",
                        "kept" if outcome.holds else "**broken**",
                    )
                    for outcome in self.outcomes
                ],
            ),
            "",
            "*Longest outage*: the longest time from a sender's first try of a film to its acknowledgement. Where the",
            "machine itself was off there is none. *Counted*: case revisions at the hospital, in attacks with a line.",
            "*Withdrawn*: answers that were read after the cut was asked for, by the stamp of each: for milliseconds",
            "more ext4 may call an fsync done that is not; a machine without power gives none. The earlier ones count.",
            "",
            "## What was refused, and what surprised",
            "",
            _table(("answer or code", "times"), sorted(self.refused.items())),
            "",
            *(
                f"- {outcome.attack}: {said} ({times}×)"
                for outcome in self.outcomes
                for said, times in Counter(outcome.unexpected).items()
            ),
            *([] if any(outcome.unexpected for outcome in self.outcomes) else ["No unexpected failure."]),
            "",
            "## What it took",
            "",
            _table(
                (
                    "attack",
                    "memory at its highest (PSS, all processes)",
                    "sockets at once",
                    "starts after the first",
                    "temporary files left",
                    "duration",
                ),
                [
                    (
                        outcome.attack,
                        f"{outcome.peaks.pss_mb:.0f} MB",
                        outcome.peaks.sockets,
                        outcome.restarts,
                        outcome.temporary_files,
                        f"{outcome.seconds:.0f} s",
                    )
                    for outcome in self.outcomes
                ],
            ),
            "",
            "Versions: " + ", ".join(f"{name} {version}" for name, version in version_of.items()) + ".",
            "",
        ]
        return "\n".join(parts)


def line(outcome: Outcome) -> str:
    """One outcome on one line."""
    summary = f"{KEPT if outcome.holds else BROKEN} {outcome.attack}: {outcome.strikes or '–'}"
    counts = f"acknowledged {outcome.acknowledged}, lost {outcome.lost}, unread {outcome.unread}"
    twice = f"read twice {outcome.read_twice}, uncounted {outcome.uncounted}, counted twice {outcome.counted_twice}"
    surprises = "".join(f"\n         {said} ({times}×)" for said, times in Counter(outcome.unexpected).items())
    return f"{summary}\n       {counts}, {twice}; {outcome.seconds:.0f} s{surprises}"


def versions() -> dict[str, str]:
    """Of what was attacked, and of what attacked it."""
    return {
        "lantern": version(),
        "python": platform.python_version(),
        "linux": platform.release().split("-")[0],
        "onnxruntime": metadata.version("onnxruntime"),
        "dcmtk": _read_version_word("storescu", "--version", word=2).lstrip("v"),
        "mosquitto": _read_version_word("mosquitto", "-h", word=2),
    }


def _object(outcome: Outcome) -> dict[str, Any]:
    fields = {name: getattr(outcome, name) for name in Outcome.__dataclass_fields__}  # asdict spoils a Counter
    return {**fields, "refused": dict(outcome.refused), "peaks": asdict(outcome.peaks), "holds": outcome.holds}


def _read_version_word(*command: str, word: int) -> str:
    """One word of the first line that *command* says."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    words = (done.stdout or done.stderr).split()
    return words[word] if len(words) > word else "?"


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in row) + " |" for row in lines)
