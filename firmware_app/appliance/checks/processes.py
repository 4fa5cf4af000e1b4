"""The box's processes: whether they run and the DICOM port answers."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from firmware_app.appliance import preparation
from firmware_app.appliance.checks.check import Check, Section
from firmware_app.appliance.errors import UnitsNotReread
from firmware_app.core import run_status
from firmware_app.core.language import N_, register
from firmware_app.core.records import Reason
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir

ORDER: Final = 110
NAMES: Final = {
    "gateway": N_("Receiving images"),
    "reader": N_("Reader"),
    "viewer": N_("Viewer"),
    "uplink": N_("Sending to the hospital"),
    "sender": N_("Sending to the PACS"),
}
HANDBOOK: Final = Section(N_("Processes and the page"), ("doctor.process_*", "doctor.gateway_*", "setup.*"))
_GATEWAY_OK: Final = register("doctor.gateway_ok", N_("The DICOM port {port} answers."))
_GATEWAY_SILENT: Final = register(
    "doctor.gateway_silent",
    N_("The DICOM port {port} does not answer. Restart the box; if it stays so, call the technician."),
)
_PROCESS_OK: Final = register("doctor.process_ok", N_("The process {process} runs."))
_PROCESS_MISSING: Final = register(
    "doctor.process_missing",
    N_(
        "The process {process} does not run. Start the box: “systemctl start lantern.target”, or “lantern serve” where "
        "it is not installed."
    ),
)
_ANSWER_S: Final = 2.0


def examine(config: Config, state: StateDir) -> Iterator[Check]:
    yield from _check_units()
    yield from check_processes(config, state)


def _check_units() -> Iterator[Check]:
    """Whether systemd starts the processes with what the configuration grants them."""
    try:
        detail = (preparation.RUN / preparation.NOT_REREAD).read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return
    if detail:
        yield Check("settings", "warn", Reason.from_error(UnitsNotReread(detail=detail)))


def check_processes(config: Config, state: StateDir) -> Iterator[Check]:
    for name in run_status.list_expected_processes(config):
        announced = run_status.read_announcement(state, name)
        if (
            announced is None and (why := run_status.read_failure(state, name)) is not None
        ):  # also while it is tried again
            yield Check(name, "fail", why)
            continue
        if not run_status.is_running(state, name):
            yield Check(name, "fail", Reason(_PROCESS_MISSING, {"process": name}))
            continue
        yield Check(name, "ok", Reason(_PROCESS_OK, {"process": name}))
        port = (announced or {}).get("port")
        if name == "gateway" and isinstance(port, int):
            answers = _is_listening(config.dicom.host, port)
            yield Check(
                name, "ok" if answers else "fail", Reason(_GATEWAY_OK if answers else _GATEWAY_SILENT, {"port": port})
            )


def _is_listening(host: str, port: int) -> bool:
    """Whether something accepts a connection there; the association itself is the allow-list's business."""
    with suppress(OSError), socket.create_connection(("127.0.0.1" if host == "0.0.0.0" else host, port), _ANSWER_S):
        return True
    return False
