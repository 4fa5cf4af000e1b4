"""The worklist, by priority and waiting time. It updates itself, has tabs for cases not judged and for cases done, and
a search."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from flask import Blueprint, Response, g, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from firmware_app.cases.accounts import Role
from firmware_app.cases.case_lists import Tab
from firmware_app.cases.quarantine import Quarantine
from firmware_app.core import clock
from firmware_app.core.language import N_
from web import guard
from web.blueprints import judgements
from web.change_notifier import PageLimit
from web.viewer_context import Box, current_box

blueprint = Blueprint("lists", __name__)

PAGE_ROWS: Final = 40
# Each open stream occupies a server thread (`server.THREADS`); further pages poll every ten seconds.
STREAMS: Final = 8
_COMMENT_S: Final = 15
_STREAM_S: Final = 300  # then the browser reconnects, and its log-in is checked again
_places = PageLimit(STREAMS)

TABS: Final[dict[Tab, str]] = {"open": N_("To look at"), "cannot-judge": N_("Cannot judge"), "done": N_("Done")}


@blueprint.get("/")
@guard.require_role(Role.DOCTOR)
def page() -> ResponseReturnValue:
    box = current_box()
    beats = box.pulse.change_count  # before the lists are read: a change in between is then reported again
    return render_template(
        "worklist.html", beats=beats, just_done=judgements.find_just_done(box), **_build_list_context(box)
    )


@blueprint.get("/lists")
@guard.polled
@guard.require_role(Role.DOCTOR)
def lists() -> ResponseReturnValue:
    """The tabs and the rows alone, for a page that updates itself."""
    return render_template("lists.html", **_build_list_context(current_box()))


@blueprint.get("/events")
@guard.polled
@guard.require_role(Role.DOCTOR)
def events() -> ResponseReturnValue:
    """Server-sent events (WHATWG HTML 9.2): one ``changed`` whenever a list may have changed.

    204 tells the browser not to reconnect: no place is left, so the page polls instead.
    """
    seen = request.args.get("seen", type=int, default=-1)
    if not _places.acquire():
        return Response(status=204)
    gone = request.environ.get("waitress.client_disconnected", lambda: False)
    stream = _ChangeStream(current_box(), seen, gone)
    return Response(stream, mimetype="text/event-stream", headers={"X-Accel-Buffering": "no"})


class _ChangeStream:
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
            _places.release()


@blueprint.get("/search")
@guard.require_role(Role.DOCTOR)
def redirect_to_lists() -> ResponseReturnValue:
    return redirect(url_for("lists.page"))


@blueprint.post("/search")
@guard.require_role(Role.DOCTOR)
def search() -> ResponseReturnValue:
    """The visits that fit what was asked, of every tab.  A POST: no name is ever part of an address."""
    box, asked = current_box(), request.form.get("asked", "").strip()[:64]
    if not asked:
        return redirect(url_for("lists.page"))
    found = box.visits.search(asked, TABS)
    visits = [visit for cases in found[:PAGE_ROWS] if (visit := box.visits.load_visit(cases, g.language)) is not None]
    return render_template(
        "search.html", asked=asked, visits=visits, found=len(found), tab="", **_build_tabs_context(box)
    )


def _build_tabs_context(box: Box) -> dict[str, object]:
    counts = {tab: len(box.visits.list_visits(tab)) for tab in TABS}
    return {"tabs": TABS, "counts": counts, "set_aside": len(Quarantine(box.clinical.database)), "now": clock.stamp()}


def _build_list_context(box: Box) -> dict[str, object]:
    tab: Tab = next((known for known in TABS if known == request.args.get("tab")), "open")
    all_of_it = box.visits.list_visits(tab)
    pages = max(1, -(-len(all_of_it) // PAGE_ROWS))
    number = min(pages, max(1, request.args.get("page", type=int, default=1)))  # beyond the end the last page is shown
    on_it = all_of_it[(number - 1) * PAGE_ROWS : number * PAGE_ROWS]
    visits = [visit for cases in on_it if (visit := box.visits.load_visit(cases, g.language)) is not None]
    return {**_build_tabs_context(box), "tab": tab, "page": number, "visits": visits, "more": number < pages}
