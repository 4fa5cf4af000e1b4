"""The machines that send: who called last and was admitted, whether images came, and who was turned away and why.

For the technician who connects one: the page follows by itself, so a C-ECHO or a test film from the machine shows
within seconds.  The technician enters a machine here and has the line to it tested: the gateway sends the C-ECHO,
because this process may dial nothing.  The page names machines, never patients.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from flask import Blueprint, abort, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from firmware_app.appliance.checks import refused_callers
from firmware_app.cases.accounts import Role
from firmware_app.cases.errors import MACHINE_PORT_UNUSABLE, DeviceError, DeviceUnknown
from firmware_app.cases.imaging_devices import Modalities, Modality, ModalityAddress
from firmware_app.core import clock, run_status
from firmware_app.dicom.association_log import admits_title
from web import guard
from web.viewer_context import current_box

blueprint = Blueprint("machines", __name__)

_LATE_S: Final = 20.0
"""A test takes at most ten seconds; of several, one after the other."""


@dataclass(frozen=True, slots=True)
class AdmittedModality:
    """One machine that was admitted; `images` of its newest associations, the last of them at `image_at`."""

    title: str
    address: str
    count: int
    last: clock.Stamp
    images: int
    image_at: clock.Stamp | None


@blueprint.get("/machines")
@guard.polled
@guard.require_role(Role.DOCTOR, Role.TECHNICIAN)
def page() -> ResponseReturnValue:
    return _render_page()


@blueprint.post("/machines")
@guard.require_role(Role.DOCTOR, Role.TECHNICIAN)
def add() -> ResponseReturnValue:
    """Enter a machine and have the line to it tested."""
    title, host, port = (request.form.get(name, "").strip() for name in ("title", "host", "port"))
    try:
        if not (port.isascii() and port.isdecimal() and len(port) < 6):
            raise MACHINE_PORT_UNUSABLE()
        Modalities(current_box().clinical.database).add(ModalityAddress(title, host, int(port)), guard.require_actor())
    except DeviceError as error:
        return _render_page(error, title, host, port), 422
    return redirect(url_for("machines.page"), 303)


@blueprint.post("/machines/<int:number>/test")
@guard.require_role(Role.DOCTOR, Role.TECHNICIAN)
def test(number: int) -> ResponseReturnValue:
    """Have the line to a machine tested again."""
    try:
        Modalities(current_box().clinical.database).request_test(number, guard.require_actor())
    except DeviceUnknown:
        abort(404)
    return redirect(url_for("machines.page"), 303)


@blueprint.post("/machines/<int:number>/remove")
@guard.require_role(Role.DOCTOR, Role.TECHNICIAN)
def remove(number: int) -> ResponseReturnValue:
    """Take a machine off the list; what it sends is taken in as before."""
    try:
        Modalities(current_box().clinical.database).remove(number, guard.require_actor())
    except DeviceUnknown:
        abort(404)
    return redirect(url_for("machines.page"), 303)


def _is_late(machine: Modality) -> bool:
    return machine.asked_at is not None and (clock.now() - machine.asked_at.at).total_seconds() > _LATE_S


def _render_page(error: DeviceError | None = None, title: str = "", host: str = "", port: str = "104") -> str:
    """The page; after an *error* with what was typed."""
    box = current_box()
    senders = box.clinical.count_by_sender()
    machines = []
    for entry in reversed(refused_callers.admitted(box.state)):
        images, image_at = senders.get(f"dicom:{entry.calling}", (0, None))
        machines.append(
            AdmittedModality(
                title=entry.calling,
                address=entry.address,
                count=entry.count,
                last=clock.parse_stamp(entry.last),
                images=images,
                image_at=image_at,
            )
        )
    entered = Modalities(box.clinical.database).all()
    settings, gateway = box.config.dicom, run_status.read_announcement(box.state, "gateway")
    return render_template(
        "machines.html",
        machines=machines,
        refused=list(refused_callers.examine(box.config, box.state)),
        entered=entered,
        barred={modality.sequence for modality in entered if not admits_title(modality.place.title, settings)},
        # The gateway tests the lines: while it does not run, or hangs, nobody should wait for an answer.
        tests=gateway is not None and not any(_is_late(modality) for modality in entered),
        title=settings.ae_title,
        # Where the configuration leaves the port free, the one that was taken.
        port=(gateway or {}).get("port") or settings.port,
        error=error,
        typed=(title, host, port),
    )
