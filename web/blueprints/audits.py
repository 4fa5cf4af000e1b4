"""The audit pages, for the auditor."""

from __future__ import annotations

from typing import Final

from flask import Blueprint, g, render_template, request
from flask.typing import ResponseReturnValue

from firmware_app.cases.accounts import Role
from web import guard
from web.viewer_context import current_box

blueprint = Blueprint("audits", __name__)

_PAGE: Final = 100
_LAST: Final = 1 << 62


@blueprint.get("/audit")
@guard.require_role(Role.AUDITOR)
def page() -> ResponseReturnValue:
    audit = current_box().audit
    whole, sentence = audit.verify()
    before = request.args.get("before", type=int, default=_LAST)
    entries = audit.latest(_PAGE, min(_LAST, max(2, before)))  # beyond the last page the first entry is shown
    return render_template("audit.html", whole=whole, sentence=sentence.text(g.language), entries=entries)
