"""The worklist, by priority and time. It updates itself and has tabs for cases not judged and for cases done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from flask import Blueprint, Response, render_template, request
from flask.typing import ResponseReturnValue

from firmware_app.language import N_
from firmware_app.store.accounts.accounts_db import Role
from firmware_app.store.clinical.quarantine import Quarantine
from web import guard
from web.blueprints import judgements
from web.box import Box, here
from web.pulse import PageLimit

blueprint = Blueprint("lists", __name__)

PAGE_ROWS: Final = 50
# Each open stream occupies a server thread (`server.THREADS`); further pages poll every ten seconds.
STREAMS: Final = 8
_COMMENT_S: Final = 15
_STREAM_S: Final = 300  # then the browser reconnects, and its log-in is checked again
_places = PageLimit(STREAMS)

TABS: Final = {
    "open": N_("To look at"),
    "cannot-judge": N_("Cannot judge"),
    "done": N_("Done"),
}


@blueprint.get("/")
@guard.only(Role.DOCTOR)
def page() -> ResponseReturnValue:
    box = here()
    beats = box.pulse.beats  # before the lists are read: a change in between is then reported again
    return render_template("worklist.html", beats=beats, just_done=judgements.just_done(box), **_lists(box))


@blueprint.get("/lists")
@guard.only(Role.DOCTOR)
def lists() -> ResponseReturnValue:
    """The tabs and the rows alone, for a page that updates itself."""
    return render_template("lists.html", **_lists(here()))


@blueprint.get("/events")
@guard.only(Role.DOCTOR)
def events() -> ResponseReturnValue:
    """Server-sent events (WHATWG HTML 9.2): one ``changed`` whenever a list may have changed.

    204 tells the browser not to reconnect: no place is left, so the page polls instead.
    """
    seen = request.args.get("seen", type=int, default=-1)
    if not _places.take():
        return Response(status=204)
    gone = request.environ.get("waitress.client_disconnected", lambda: False)
    stream = _Stream(here(), seen, gone)
    return Response(stream, mimetype="text/event-stream", headers={"X-Accel-Buffering": "no"})


class _Stream:
    """The stream of changes; releases its place however it ends."""

    def __init__(self, box: Box, seen: int, gone: Callable[[], bool]) -> None:
        self._pulse, self._seen, self._gone, self._open = box.pulse, seen, gone, True
        self._lines = self._changes()

    def __iter__(self) -> Iterator[bytes]:
        return self._lines

    def _changes(self) -> Iterator[bytes]:
        yield b"retry: 2000\n\n"
        for second in range(_STREAM_S):
            beats = self._pulse.wait(self._seen, 1.0)
            if self._pulse.stopped or self._gone():
                return
            if beats != self._seen:
                self._seen = beats
                yield b"event: changed\nid: %d\ndata: %d\n\n" % (beats, beats)
            elif second % _COMMENT_S == _COMMENT_S - 1:
                yield b": still here\n\n"

    def close(self) -> None:
        if self._open:
            self._open = False
            _places.give()


def _lists(box: Box) -> dict[str, object]:
    tab = request.args.get("tab", "open")
    tab = tab if tab in TABS else "open"
    counts = {
        "open": box.worklist.count("open"),
        "cannot-judge": box.worklist.count("cannot-judge"),
        "done": box.worklist.count("done"),
    }
    pages = max(1, -(-counts[tab] // PAGE_ROWS))
    number = min(pages, max(1, request.args.get("page", type=int, default=1)))  # beyond the end the last page is shown
    set_aside = len(Quarantine(box.clinical.database))
    common: dict[str, object] = {"tab": tab, "tabs": TABS, "counts": counts, "page": number, "set_aside": set_aside}
    chosen: Final = "done" if tab == "done" else "cannot-judge" if tab == "cannot-judge" else "open"
    rows = box.worklist.rows(chosen, PAGE_ROWS, (number - 1) * PAGE_ROWS)
    shown = [(row, box.patients.known(row.case).patient) for row in rows]
    return {**common, "rows": shown, "more": number < pages}
