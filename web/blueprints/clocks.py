"""The form that sets the clock. It moves the box's time forward only."""

from __future__ import annotations

from flask import Blueprint, g, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from firmware_app.cases.accounts import Role
from firmware_app.cli import clock as clock_commands
from firmware_app.core import clock
from firmware_app.core.errors import ClockError
from web import guard
from web.viewer_context import current_box

blueprint = Blueprint("clocks", __name__)


@blueprint.post("/box/clock")
@guard.require_role(Role.DOCTOR, Role.TECHNICIAN)
def set_() -> ResponseReturnValue:
    """Set the entered time (in the box's zone); a time before the last confirmed one is refused."""
    before = clock.stamp()
    try:
        clock_commands.confirm_time(clock_commands.parse_time(request.form.get("time", "")))
    except ClockError as error:
        return render_template("error.html", code=400, text=error.text(g.language)), 400
    current_box().audit.record(guard.require_actor(), "clock.set", before=before.text("seconds"))
    return redirect(url_for("health.page"))
