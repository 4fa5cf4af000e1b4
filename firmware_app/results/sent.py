"""How far a case's results have come on their way to each archive, in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from firmware_app.core.language import N_, register
from firmware_app.core.records import Reason
from firmware_app.core.settings import Config
from firmware_app.core.sqlite.database import Database
from firmware_app.dicom.scu.peer import peers
from firmware_app.results.queue import due, offered
from firmware_app.results.queue.queue import Sending, SendingQueue, Stage

COMMITTED: Final = register("sent.committed", N_("PACS {pacs}: the results are there, and the PACS keeps them."))
ACCEPTED: Final = register(
    "sent.accepted",
    N_("PACS {pacs}: the results were sent and taken. This PACS does not say whether it keeps them."),
)
STORED: Final = register(
    "sent.stored", N_("PACS {pacs}: the results were taken; whether the PACS keeps them is not known yet.")
)
PARTLY: Final = register("sent.partly", N_("PACS {pacs}: result objects still to be sent: {count} of {total}."))
WAITS: Final = register("sent.waits", N_("PACS {pacs}: the results wait to be sent."))
AT_REST: Final = register(
    "sent.not_yet", N_("PACS {pacs}: not sent yet. Results are sent when the case has not changed for a while.")
)
OFFERED: Final = register("sent.offered", N_("DICOMweb: viewers can fetch the results of this case."))
NOT_OFFERED: Final = register(
    "sent.not_offered",
    N_("DICOMweb: the results of this case are not ready to be fetched. `lantern case send` makes them ready."),
)
NEVER: Final = register("sent.never", N_("PACS {pacs}: not sent. The case was read before results were sent there."))


@dataclass(frozen=True, slots=True)
class CaseSent:
    """Of one case and one archive: the sentence, and why the last try failed."""

    archive: str
    state: Reason
    problem: Reason | None

    def as_json(self, language: str) -> dict[str, Any]:
        problem = {"code": self.problem.code, "text": self.problem.text(language)} if self.problem else None
        return {
            "archive": self.archive,
            "code": self.state.code,
            "text": self.state.text(language),
            "problem": problem,
        }


def of_case(config: Config, database: Database, case: str) -> list[CaseSent]:
    """One entry for each archive that gets results, in the order of the configuration, and one for DICOMweb."""
    queue = SendingQueue(database)
    sendings = [one for one in queue.of_case(case) if one.stage is not Stage.REPLACED]
    archives = {one.name: one for one in queue.archives()}
    is_due, unmade = due.standing(database, case)
    told = []
    for peer in peers(config):
        if not peer.kinds:
            continue
        mine = [one for one in sendings if one.archive == peer.name]
        state, problem = _said(peer.title, mine, is_due=is_due)
        archive = archives.get(peer.name)
        waits = any(one.stage is Stage.WAITING for one in mine)
        if problem is None and waits and archive is not None:
            problem = archive.reason
        told.append(CaseSent(peer.name, state, unmade if is_due and unmade is not None else problem))
    if config.dicomweb.gives:
        code = OFFERED if offered.has(database, case) else NOT_OFFERED
        told.append(CaseSent(offered.QUEUE.rstrip(":"), Reason(code), unmade if is_due else None))
    return told


def _said(title: str, mine: list[Sending], *, is_due: bool) -> tuple[Reason, Reason | None]:
    """The sentence for the objects of the newest version, and why one of them was not taken."""
    newest = max((one.version for one in mine), default=0)
    mine = [one for one in mine if one.version == newest]
    waiting = [one for one in mine if one.stage is Stage.WAITING]
    facts: Mapping[str, str | int] = {"pacs": title}
    problem = next((one.reason for one in waiting if one.reason is not None), None)
    if is_due:
        return Reason(AT_REST, facts), problem
    if not mine:
        return Reason(NEVER, facts), None
    if waiting:
        if len(waiting) == len(mine):
            return Reason(WAITS, facts), problem
        return Reason(PARTLY, {**facts, "count": len(waiting), "total": len(mine)}), problem
    stages = {one.stage for one in mine}
    if Stage.STORED in stages:
        return Reason(STORED, facts), None
    return Reason(ACCEPTED if Stage.ACCEPTED in stages else COMMITTED, facts), None
