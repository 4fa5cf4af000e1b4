"""The box page with all checks, and `/healthz` for monitoring."""

from __future__ import annotations

import sqlite3

from flask import Blueprint, jsonify, render_template
from flask.typing import ResponseReturnValue

from firmware_app.cases import imaging_devices
from firmware_app.cases.accounts import Role
from firmware_app.cases.quarantine import Quarantine
from firmware_app.core.drift_tests import FIRST_IMAGES
from firmware_app.monitoring import drift
from web import guard
from web.health_report import sort_checks
from web.reading_status import list_troubles
from web.viewer_context import current_box

blueprint = Blueprint("health", __name__)


@blueprint.get("/box")
@guard.polled
@guard.require_role(Role.DOCTOR, Role.TECHNICIAN)
def page() -> ResponseReturnValue:
    report = current_box().checkup.latest()
    checks = sort_checks(report.checks) if report else []
    set_aside = len(Quarantine(current_box().clinical.database))
    box = current_box()
    connection = box.clinical.database.connection
    watched = [
        (one, imaging_devices.find_device_name(connection, one.place.machine))
        for one in drift.measure_clinic_drift(box.clinical, box.config)
    ]
    return render_template(
        "box.html", report=report, checks=checks, set_aside=set_aside, watched=watched, needed=2 * FIRST_IMAGES
    )


@blueprint.get("/alive")
@guard.polled
def alive() -> ResponseReturnValue:
    """An empty response; every open page requests it every few seconds (static/answers.js).

    In headers it tells whether the banner of the page is still true, and a doctor whether a case came that should be
    looked at first (static/urgent.js).
    """
    person = guard.current_user()
    told = {"Lantern-Banner": current_box().pulse.banner_mark} if person is not None else {}
    if person is not None and person.role is Role.DOCTOR:
        told["Lantern-Urgent"] = current_box().pulse.urgent
    return "", 204, told


@blueprint.get("/banner")
@guard.polled
@guard.require_role(*Role)
def banner() -> ResponseReturnValue:
    """What every page says of the box at its top, for a page that was opened before that changed."""
    return render_template("banner.html")


@blueprint.get("/healthz")
def healthz() -> ResponseReturnValue:
    """``ok`` or ``degraded`` with codes; needs no log-in and names nothing."""
    box = current_box()
    try:
        codes = list_troubles(box.disk, box.clinical, box.state)
    except sqlite3.Error:
        codes = ["database"]
    return jsonify(status="degraded" if codes else "ok", codes=codes)
