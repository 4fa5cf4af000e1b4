"""What `lantern doctor` says of machines whose images the DICOM port did not let in, and what to set for it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from firmware_app.appliance.checks.check import Check, Section
from firmware_app.core import clock
from firmware_app.core.language import N_, register
from firmware_app.core.records import Detail, Reason
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir
from firmware_app.dicom import association_log as callers

ORDER: Final = 180
NAMES: Final[dict[str, str]] = {}
HANDBOOK: Final = Section(N_("Settings"), ("doctor.*",))
_DAYS: Final = 7
Admitted = callers.AdmittedCaller
admitted = callers.read_admitted
_SENTENCES: Final = {
    callers.TITLE: register(
        "doctor.caller_title",
        N_(
            "A machine that calls itself “{calling}” ({address}) was turned away (count: {count}, last on {date}): "
            "[dicom] allowed_calling does not name it. If it is the clinic's, add “{calling}” there, or set the "
            "machine's own AE title to one of these: {allowed}. It calls this box “{called}”, and any name will do for "
            "that."
        ),
    ),
    callers.ADDRESS: register(
        "doctor.caller_address",
        N_(
            "The machine “{calling}” was turned away (count: {count}, last on {date}): its address {address} is not in "
            "[dicom] allowed_addresses. If it is the clinic's, add the address there. It calls this box “{called}”."
        ),
    ),
    callers.APPLICATION: register(
        "doctor.caller_application",
        N_(
            "The machine “{calling}” ({address}) was turned away (count: {count}, last on {date}): it does not ask for "
            "DICOM as the standard has it (application context). If it is the clinic's, call its service."
        ),
    ),
    callers.LIMIT: register(
        "doctor.caller_limit",
        N_(
            "The machine “{calling}” ({address}) found no free place (count: {count}, last on {date}): others were "
            "sending in all of them ([dicom] max_associations), or it had its half. Send again there; raise the number "
            "if this comes often."
        ),
    ),
    callers.SERVICES: register(
        "doctor.caller_services",
        N_(
            "The machine “{calling}” ({address}) asked only for what this box does not offer (count: {count}, last on "
            "{date}): {what}. The box takes images (Storage) and answers C-ECHO. Switch the other service off on the "
            "machine, or point it at the system that offers it."
        ),
    ),
    callers.WORKLIST: register(
        "doctor.caller_worklist",
        N_(
            "The machine “{calling}” ({address}) asked for the worklist (count: {count}, last on {date}), and "
            "[worklist] stations does not name it, so it was told nobody. If it is the clinic's, add it there with its "
            "modality."
        ),
    ),
    callers.SYNTAXES: register(
        "doctor.caller_syntaxes",
        N_(
            "The machine “{calling}” ({address}) offers these kinds only in a form (transfer syntax) that the box does "
            "not take (count: {count}, last on {date}): {what}. Set the machine to send them uncompressed or as JPEG."
        ),
    ),
}


def examine(config: Config, state: StateDir) -> Iterator[Check]:
    """The machines of the last days, but those that the settings let in by now."""
    oldest = clock.now() - timedelta(days=_DAYS)
    for entry in callers.read_rejected(state):
        last = clock.parse_stamp(entry.last)
        if last.at < oldest or entry.why not in _SENTENCES or _is_settled(entry, config):
            continue
        details: dict[str, Detail] = {
            "calling": entry.calling,
            "called": entry.called,
            "address": entry.address,
            "what": entry.what,
            "count": entry.count,
            "date": last.minute,
            "allowed": ", ".join(config.dicom.allowed_calling),
        }
        yield Check("door", "warn", Reason(_SENTENCES[entry.why], details))


def _is_settled(entry: callers.RejectedCaller, config: Config) -> bool:
    if entry.why == callers.TITLE:
        return callers.admits_title(entry.calling, config.dicom)
    if entry.why == callers.WORKLIST:
        return entry.calling in config.worklist.stations
    return entry.why == callers.ADDRESS and callers.admits_address(entry.address, config.dicom)
