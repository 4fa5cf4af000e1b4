"""What was refused or set aside: codes and sentences, newest first, without patient names."""

from __future__ import annotations

from typing import Final

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

from firmware_app.cases.accounts import Role
from firmware_app.cases.quarantine import Quarantine
from web import guard
from web.viewer_context import current_box

blueprint = Blueprint("quarantine", __name__)

PAGE_ROWS: Final = 100


@blueprint.get("/quarantine")
@guard.require_role(Role.DOCTOR, Role.TECHNICIAN)
def page() -> ResponseReturnValue:
    """The newest entries in full, and a count for each reason."""
    quarantine = Quarantine(current_box().clinical.database)
    return render_template(
        "quarantine.html", entries=quarantine.list_entries(PAGE_ROWS), counts=quarantine.list_counts()
    )
