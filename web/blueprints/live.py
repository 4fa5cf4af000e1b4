"""The examination that `lantern watch` reads at this moment: the newest frame, what is marked in it, and how old it is.

The frames lie in memory (`core.live_frame`) and are sent as they are; nothing here opens an image or runs a model.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from flask import Blueprint, Response, abort, g, render_template, request, url_for
from flask.typing import ResponseReturnValue

from firmware_app.cases.accounts import Role
from firmware_app.core import live_frame as live
from firmware_app.core import run_status
from firmware_app.core.language import render_sentence
from firmware_app.core.live_frame import LiveFrame
from web import guard
from web.change_notifier import PageLimit
from web.viewer_context import current_box

blueprint = Blueprint("live", __name__)

POLLS: Final = 4
"""Pages that may wait for a frame at once, each in a server thread; others ask again by themselves."""
_WAIT_S: Final = 1.0
_LOOK_S: Final = 0.008
_places = PageLimit(POLLS)


def is_watched() -> bool:
    """Whether `lantern watch` is running on this box."""
    return _find_folder() is not None


@blueprint.get("/live")
@guard.require_role(Role.DOCTOR)
def page() -> ResponseReturnValue:
    return render_template("live.html")


@blueprint.get("/live/newest")
@guard.polled
@guard.require_role(Role.DOCTOR)
def newest() -> ResponseReturnValue:
    """What was told last, as `live.LiveFrame` has it, in the user's language; *after* is the moment of the last one.

    204 where nothing newer comes within a second.
    """
    after = request.args.get("after", default=0.0, type=float)
    folder = _find_folder()
    if folder is None:
        return _send_frame(LiveFrame({"event": "absent"}))
    waits = _places.acquire()
    try:
        found = _wait_for_newer(folder, after, time.monotonic() + (_WAIT_S if waits else 0.0))
    finally:
        if waits:
            _places.release()
    return (
        Response(status=204) if found is None else _send_frame(LiveFrame(_localise(found.told), found.jpeg, found.heat))
    )


@blueprint.post("/live/keep")
@guard.require_role(Role.DOCTOR)
def keep() -> ResponseReturnValue:
    """Ask for the frame of this number to be kept; the answer stands in what is told next."""
    sequence, folder = request.form.get("sequence", type=int), _find_folder()
    if sequence is None or sequence < 0 or folder is None:
        abort(404)
    try:
        live.request_frame(folder, sequence, guard.require_actor())
    except OSError:
        abort(503)
    return Response(status=204)


def _find_folder() -> Path | None:
    announced = run_status.read_announcement(current_box().state, live.WATCH_PROCESS)
    folder = announced.get("folder") if announced is not None else None
    return Path(folder) if isinstance(folder, str) else None


def _wait_for_newer(folder: Path, after: float, until: float) -> LiveFrame | None:
    """The first that was told at another moment than *after*, by the monotonic time *until*."""
    while True:
        found = live.read_live_frame(folder)
        if found is not None and found.told.get("told_at") != after:
            return found
        if time.monotonic() > until:
            return None
        time.sleep(_LOOK_S)


def _send_frame(one: LiveFrame) -> Response:
    return Response(one.to_bytes(), mimetype="application/octet-stream")


def _localise(told: Mapping[str, Any]) -> dict[str, Any]:
    """The same with sentences in the user's language, and how long ago it was told."""
    findings = [
        {**finding, "label": finding["label"].get(g.language) or finding["label"].get("en") or ""}
        for finding in told.get("findings", ())
    ]
    kept = [
        {
            "sequence": one["sequence"],
            "case": url_for("cases.page", reference=one["case"]) if "case" in one else None,
            "reason": _translate_reason(one.get("reason")),
        }
        for one in told.get("kept", ())
    ]
    return {
        **told,
        "reason": _translate_reason(told.get("reason")),
        "hints": [_translate_reason(hint) for hint in told.get("hints", ())],
        "findings": findings,
        "kept": kept,
        "age_ms": round(1e3 * max(0.0, time.monotonic() - float(told["told_at"])), 1),
    }


def _translate_reason(reason: Mapping[str, Any] | None) -> str | None:
    return None if reason is None else render_sentence(str(reason["code"]), reason["details"], g.language)
