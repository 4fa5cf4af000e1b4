"""Frames and heat maps, as the reader wrote them: the viewer hands the files on and decodes none.

A frame travels as its 16-bit PNG and is undone in the page (`static/png.js`), so the doctor windows every grey there is
and the box spends nothing on it.  References come from the URL as fixed patterns and must be rows of clinical.db.
"""

from __future__ import annotations

from pathlib import Path

from flask import Blueprint, abort, send_file
from flask.typing import ResponseReturnValue

from firmware_app.store.accounts.accounts_db import Role
from web import guard
from web.box import here

blueprint = Blueprint("films", __name__)


@blueprint.get("/film/<instance:reference>/<int(max=99999):frame>.png")
@guard.only(Role.DOCTOR)
def frame_pixels(reference: str, frame: int) -> ResponseReturnValue:
    return _sent(reference, f"frame-{frame:03d}.png", "image/png")


@blueprint.get("/film/<instance:reference>/<int(max=99999):frame>.json")
@guard.only(Role.DOCTOR)
def frame_facts(reference: str, frame: int) -> ResponseReturnValue:
    return _sent(reference, f"frame-{frame:03d}.json", "application/json")


@blueprint.get("/film/<instance:reference>/<int(max=99999):frame>/layer-<int(max=15):number>.png")
@guard.only(Role.DOCTOR)
def layer(reference: str, frame: int, number: int) -> ResponseReturnValue:
    """What the machine draws over the film (an overlay), which the film itself never shows."""
    return _sent(reference, f"frame-{frame:03d}-layer-{number}.png", "image/png")


@blueprint.get("/film/<instance:reference>/heat/<finding:code>.png")
@guard.only(Role.DOCTOR)
def heat(reference: str, code: str) -> ResponseReturnValue:
    return _sent(reference, f"{code}.png", "image/png")


def _sent(reference: str, name: str, kind: str) -> ResponseReturnValue:
    box = here()
    path: Path = box.state.display / reference / name
    if not box.clinical.knows(reference) or path.is_symlink() or not path.is_file():
        abort(404)
    return send_file(path, mimetype=kind, conditional=False, etag=False)
