"""The box's own software: what runs, what a stick, a browser and the channel brought, and how a technician renews it.

A file comes piece by piece, so that it is never whole in memory; this process may install nothing and hands it over to
root (`firmware_app.appliance.software_requests`), who judges it as one from a stick.
"""

from __future__ import annotations

from typing import Final

from flask import Blueprint, abort, g, jsonify, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from firmware_app.appliance import software_bundle, software_record, software_requests
from firmware_app.appliance.errors import SOFTWARE_BY_HAND, SoftwareError
from firmware_app.appliance.software_bundle import InstalledSystem
from firmware_app.appliance.software_requests import PIECE_BYTES, SoftwareRequest
from firmware_app.cases.accounts import Role
from firmware_app.cli.errors import SOFTWARE_NOT_HERE
from firmware_app.core import clock, disk
from firmware_app.core.errors import LanternError
from firmware_app.core.records import Reason
from web import guard
from web.viewer_context import current_box

blueprint = Blueprint("software", __name__)

_MEGABYTE: Final = 1_000_000
_ROOT_BYTES: Final = 60_000


def allow_piece() -> None:
    """Let a piece of a file be longer than a form; asked before anything reads the request's body."""
    person = guard.current_user()
    if request.endpoint == "software.piece" and person is not None and person.role is Role.TECHNICIAN:
        request.max_content_length = PIECE_BYTES


@blueprint.get("/software")
@guard.polled
@guard.require_role(Role.DOCTOR, Role.TECHNICIAN)
def page() -> ResponseReturnValue:
    state, running = current_box().state, software_bundle.read_installed_system()
    last, offered = software_record.read_outcome(state), software_record.read_offered(state)
    renews = running.is_flashed and state.software.is_dir()
    return render_template(
        "software.html",
        running=running,
        instead=None if renews else _explain_manual_update(running),
        left=software_record.read_abandoned_slot(state),
        doing=software_record.read_progress(state)
        or (
            software_record.UpdateProgress("waiting", "", 0)
            if renews and software_requests.is_request_waiting(state)
            else None
        ),
        last=last,
        last_at=clock.parse_stamp(last.at) if last and last.at else None,
        offered=offered,
        offered_at=clock.parse_stamp(offered.at) if offered else None,
        chosen=software_requests.read_channel_settings(current_box().config, state),
        fixed=bool(current_box().config.software.repository),
        piece=PIECE_BYTES,
    )


@blueprint.post("/software/channel")
@guard.require_role(Role.TECHNICIAN)
def channel() -> ResponseReturnValue:
    """Have root look at the channel, or install what it offers; `again` also where it was left before."""
    _require_flashed()
    if not software_requests.read_channel_settings(current_box().config, current_box().state).repository:
        abort(404)
    again, looks = "again" in request.form, "look" in request.form
    if not looks:
        current_box().audit.record(guard.require_actor(), "software.asked", origin="channel", again=again)
    software_requests.submit_request(current_box().state, SoftwareRequest("look" if looks else "channel", again))
    return redirect(url_for("software.page"), 303)


@blueprint.post("/software/repository")
@guard.require_role(Role.TECHNICIAN)
def choose() -> ResponseReturnValue:
    """Have root look at another repository, or at none; the publisher's root.json is needed the first time."""
    _require_flashed()
    if current_box().config.software.repository:
        abort(404)
    given = request.files.get("root")
    asked = SoftwareRequest(
        "choose",
        repository=request.form.get("repository", "").strip()[:400],
        automatic="automatic" in request.form,
        root=given.read(_ROOT_BYTES).decode("utf-8", "replace") if given else "",
    )
    current_box().audit.record(guard.require_actor(), "software.channel", repository=asked.repository)
    software_requests.submit_request(current_box().state, asked)
    return redirect(url_for("software.page"), 303)


@blueprint.post("/software/upload")
@guard.require_role(Role.TECHNICIAN)
def begin() -> ResponseReturnValue:
    """Make room for a file; tells under which token its pieces come."""
    _require_flashed()
    size = request.form.get("size", "")
    try:
        token = software_requests.begin_upload(
            current_box().state,
            request.form.get("name", ""),
            int(size) if size.isdecimal() and len(size) < 12 else 0,
            current_box().config.retention.high_water_free_mb * _MEGABYTE,
        )
    except LanternError as error:
        return _refuse(error)
    except OSError as error:
        return _refuse(disk.classify_disk_error(current_box().state.root, error))
    return jsonify(token=token)


@blueprint.post("/software/upload/<token>/<int:at>")
@guard.require_role(Role.TECHNICIAN)
def piece(token: str, at: int) -> ResponseReturnValue:
    """One piece of the file, which begins *at*; tells how far the file has come."""
    try:
        return jsonify(at=software_requests.append_piece(current_box().state, token, at, request.get_data()))
    except LanternError as error:
        return _refuse(error)
    except OSError as error:
        return _refuse(disk.classify_disk_error(current_box().state.root, error))


@blueprint.post("/software/upload/<token>/done")
@guard.require_role(Role.TECHNICIAN)
def done(token: str) -> ResponseReturnValue:
    """All of the file is here: hand it to root."""
    size, again = request.form.get("size", ""), request.form.get("again") == "yes"
    try:
        software_requests.finish_upload(
            current_box().state, token, int(size) if size.isdecimal() and len(size) < 12 else -1
        )
        current_box().audit.record(guard.require_actor(), "software.asked", origin="upload", again=again)
        software_requests.submit_request(current_box().state, SoftwareRequest("upload", again))
    except LanternError as error:
        return _refuse(error)
    except OSError as error:
        return _refuse(disk.classify_disk_error(current_box().state.root, error))
    return jsonify(page=url_for("software.page"))


def _refuse(error: LanternError) -> ResponseReturnValue:
    return jsonify(code=error.code, text=error.text(g.language)), 409


def _explain_manual_update(running: InstalledSystem) -> Reason:
    """How the software of a box is renewed that has no slots."""
    error: SoftwareError = SOFTWARE_BY_HAND() if running.is_packaged else SOFTWARE_NOT_HERE()
    return Reason.from_error(error)


def _require_flashed() -> None:
    if not (software_bundle.read_installed_system().is_flashed and current_box().state.software.is_dir()):
        abort(404)
