"""What should follow for a case that has come to rest: the advice of the rules in the packs that read it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from firmware_app.cases.advice import advised
from firmware_app.cases.casebook import strongest
from firmware_app.cases.lesions import following
from firmware_app.core.records import Case, FileStatus, FollowUp, Priority, Reading, ReadingStatus
from firmware_app.packs.manifest import Manifest

_READ: Final = (FileStatus.READ, FileStatus.DUPLICATE)


def follow_up(case: Case, manifests: Mapping[str, Manifest], known: Collection[str]) -> FollowUp | None:
    """The advice for *case*, where *known* are the codes of the facts about the patient; None where no rule holds.

    Of several packs the one with the most urgent positive finding is asked first.  Because nothing was found something
    is advised only where every file of the case was read and no pack found anything.
    """
    of_pack: dict[str, list[Reading]] = {}
    for reading in case.readings:
        if reading.status is ReadingStatus.READ and reading.pack is not None and reading.pack.name in manifests:
            of_pack.setdefault(reading.pack.name, []).append(reading)
    whole = case.incomplete is None and all(file.status in _READ for file in case.files)
    empty = not case.lesions and not any(finding.positive for finding in case.findings)
    for name in sorted(of_pack, key=lambda name: _urgency(manifests[name], of_pack[name])):
        manifest, readings = manifests[name], of_pack[name]
        pack = name, manifest.version
        findings, lesions = strongest(readings), following.lesions_of(readings)
        advice = advised(manifest.follow_up, pack, findings, lesions, known, complete=whole and empty)
        if advice is not None:
            return advice
    return None


def _urgency(manifest: Manifest, readings: list[Reading]) -> int:
    """The rank of the most urgent positive finding, by the pack's own words."""
    urgencies = {spec.code: Priority(spec.priority) for spec in manifest.findings}
    positive = {finding.code for finding in strongest(readings) if finding.positive}
    ranks = [list(Priority).index(urgency) for code, urgency in urgencies.items() if code in positive]
    return min(ranks, default=len(Priority))
