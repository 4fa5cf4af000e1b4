"""Frames and heat maps: the viewer sends the reader's files unchanged and decodes none.

A frame is a 16-bit PNG that the page decodes (`static/png.js`). So the doctor can window all grey levels, and the box
spends no time on it. References in the URL match fixed patterns and must be rows of clinical.db.
"""

from __future__ import annotations

from pathlib import Path

from flask import Blueprint, abort, send_file
from flask.typing import ResponseReturnValue

from firmware_app.cases.accounts import Role
from web import guard
from web.viewer_context import current_box
from web.visits import THUMBNAIL

blueprint = Blueprint("frames", __name__)


@blueprint.get("/film/<instance:reference>/<int(max=99999):frame>.png")
@guard.require_role(Role.DOCTOR)
def frame_pixels(reference: str, frame: int) -> ResponseReturnValue:
    return _send_display_file(reference, f"frame-{frame:03d}.png", "image/png")


@blueprint.get("/film/<instance:reference>/<int(max=99999):frame>/screen.jpg")
@guard.require_role(Role.DOCTOR)
def screen(reference: str, frame: int) -> ResponseReturnValue:
    """The same in eight bits and as large as a screen: light enough for a slow line, and there first."""
    return _send_display_file(reference, f"frame-{frame:03d}-screen.jpg", "image/jpeg")


@blueprint.get("/film/<instance:reference>/<int(max=99999):frame>.json")
@guard.require_role(Role.DOCTOR)
def frame_facts(reference: str, frame: int) -> ResponseReturnValue:
    return _send_display_file(reference, f"frame-{frame:03d}.json", "application/json")


@blueprint.get("/film/<instance:reference>/<int(max=99999):frame>/layer-<int(max=15):number>.png")
@guard.require_role(Role.DOCTOR)
def layer(reference: str, frame: int, number: int) -> ResponseReturnValue:
    """The DICOM overlay that the modality drew over the image; the frame itself never contains it."""
    return _send_display_file(reference, f"frame-{frame:03d}-layer-{number}.png", "image/png")


@blueprint.get("/film/<instance:reference>/thumb.jpg")
@guard.require_role(Role.DOCTOR)
def thumbnail(reference: str) -> ResponseReturnValue:
    """The picture of an image in a list."""
    return _send_display_file(reference, THUMBNAIL, "image/jpeg")


@blueprint.get("/film/<instance:reference>/heat/<finding:code>.png")
@guard.require_role(Role.DOCTOR)
def heat(reference: str, code: str) -> ResponseReturnValue:
    """Where the model looked; not there while a doctor is asked to read the film first."""
    box = current_box()
    if box.confirmations.list_withheld(box.clinical.find_case_of(reference)):
        abort(404)
    return _send_display_file(reference, f"{code}.png", "image/png")


def _send_display_file(reference: str, name: str, kind: str) -> ResponseReturnValue:
    box = current_box()
    path: Path = box.state.display / reference / name
    if not box.clinical.has_instance(reference) or path.is_symlink() or not path.is_file():
        abort(404)
    return send_file(path, mimetype=kind, conditional=False, etag=False)
