"""The machines that send: who called last and was admitted, whether images came, and who was turned away and why.

For the technician who connects one: the page follows by itself, so a C-ECHO or a test film from the machine shows
within seconds.  It names machines, never patients.
"""

from __future__ import annotations

from dataclasses import dataclass

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

from firmware_app import clock
from firmware_app.care import presence
from firmware_app.health import dicom_callers
from firmware_app.store.accounts.accounts_db import Role
from web import guard
from web.box import here

blueprint = Blueprint("machines", __name__)


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine that was admitted; `images` of its newest associations, the last of them at `image_at`."""

    title: str
    address: str
    count: int
    last: clock.Stamp
    images: int
    image_at: clock.Stamp | None


@blueprint.get("/machines")
@guard.only(Role.DOCTOR, Role.TECHNICIAN)
def page() -> ResponseReturnValue:
    box = here()
    senders = box.clinical.senders()
    machines = []
    for entry in reversed(dicom_callers.admitted(box.state)):
        images, image_at = senders.get(f"dicom:{entry.calling}", (0, None))
        machines.append(Machine(entry.calling, entry.address, entry.count, clock.parse(entry.last), images, image_at))
    refused = list(dicom_callers.turned_away(box.config, box.state))
    settings, gateway = box.config.dicom, presence.announcement(box.state, "gateway") or {}
    port = gateway.get("port") or settings.port  # where the configuration leaves it free, the one that was taken
    return render_template("machines.html", machines=machines, refused=refused, title=settings.ae_title, port=port)
