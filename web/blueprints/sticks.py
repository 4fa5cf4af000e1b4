"""USB sticks: the progress of copying as a strip on every page, and a page with the receipts. No image is opened."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Final

from flask import Blueprint, abort, redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from firmware_app.cases import usb_import
from firmware_app.cases.accounts import Role
from firmware_app.cases.usb_import import StickStage, StickStatus
from firmware_app.core import run_status
from firmware_app.core.records import Reason
from firmware_app.core.state_dir import StateDir
from firmware_app.ingest.errors import STICK_STOPPED
from web import guard
from web.viewer_context import current_box

blueprint = Blueprint("sticks", __name__)

_MOST: Final = 20
_BYTES: Final = 65536


def find_banner_status(state: StateDir) -> StickStatus | None:
    """The message about a stick now; None when there is nothing to do or to wait for."""
    status = read_latest_status(state)
    if status is None or status.seen or (status.taken_out and status.stage in (StickStage.DONE, StickStage.EMPTY)):
        return None
    return status


def read_latest_status(state: StateDir) -> StickStatus | None:
    """The importer's last state; an importer that died without a final state counts as stopped."""
    status = usb_import.read_status(state)
    if status is not None and status.is_under_way and not run_status.is_running(state, usb_import.STATUS_NAME):
        return replace(status, stage=StickStage.UNFINISHED, reason=Reason.from_error(STICK_STOPPED()))
    return status


@blueprint.get("/stick")
@guard.require_role(Role.DOCTOR, Role.TECHNICIAN)
def page() -> ResponseReturnValue:
    """The page of the last stick and the newest receipts."""
    state = current_box().state
    return render_template("sticks.html", latest=read_latest_status(state), receipts=_read_receipts(state))


@blueprint.post("/stick/seen")
@guard.require_role(Role.DOCTOR, Role.TECHNICIAN)
def seen() -> ResponseReturnValue:
    """Note that a user has read why a stick was not copied completely; the cases stay marked."""
    state = current_box().state
    status = read_latest_status(state)
    if status is None or status.is_under_way:
        abort(404)
    usb_import.write_status(state, replace(status, seen=True))
    return redirect(url_for("sticks.page"))


def _read_receipts(state: StateDir) -> list[tuple[int, str]]:
    """Number and text of the newest receipts, newest first."""
    receipts: list[tuple[int, str]] = []
    for path in sorted(state.usb.glob("*.txt"), reverse=True)[:_MOST]:
        with suppress(OSError, ValueError), path.open("rb") as handle:
            receipts.append((int(path.stem), handle.read(_BYTES).decode("utf-8", "replace")))
    return receipts
