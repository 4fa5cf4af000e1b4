"""What a page sends of a drawing, checked against the frame that it was drawn on."""

from __future__ import annotations

import json

from flask import request

from firmware_app.cases.remarks import Drawing
from web.viewer_context import Box


def read_drawing(box: Box) -> Drawing | None:
    """The drawing that the form carries; None where nothing was drawn.

    Raises `ValueError` for one on a frame that cannot be shown, or beyond its edge.
    """
    text = request.form.get("drawing", "")
    if not text:
        return None
    drawing = Drawing.parse(text)
    if not box.clinical.has_instance(drawing.instance):
        raise ValueError(drawing.instance)
    try:
        path = box.state.display / drawing.instance / f"frame-{drawing.frame:03d}.json"
        facts = json.loads(path.read_text("utf-8"))
        columns, rows = int(facts["columns"]), int(facts["rows"])
    except (OSError, KeyError, TypeError) as error:
        raise ValueError(str(error)) from None
    _, _, right, bottom = drawing.box
    if right > columns or bottom > rows:
        raise ValueError("beyond the frame")
    return drawing
