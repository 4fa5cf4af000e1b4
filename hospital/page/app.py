"""A plain page for the doctor on duty: the connection to the broker, tonight's urgent cases, the state of the boxes.

It shows what is in the inbox, and listens on this machine only by default. It changes one thing: a label's code, typed
there, enrols its box. Each query runs at most once a second, however many pages are open, so that they take no time
from the receiver.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Collection
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from flask import Flask, Response, abort, render_template, request

from firmware_app.core.errors import LanternError
from firmware_app.uplink.errors import HospitalError
from firmware_app.uplink.messages.envelope import BoxBundle
from hospital import box_enrolment, certificate_authority
from hospital.enrolment_front import group_address
from hospital.errors import HOSPITAL_DISK_FULL, HOSPITAL_DISK_READ_ONLY, InboxUnwritten
from hospital.hospital_site import HospitalSite
from hospital.inbox import inbox_tables, receiver_status
from hospital.inbox.inbox_db import Inbox
from hospital.inbox.inbox_tables import BoxRow
from hospital.inbox.receiver_status import InboxProblem
from hospital.page import urgent_cases

_T = TypeVar("_T")
_FRESH_S: Final = 1.0
_BETWEEN_S: Final = 0.02  # between two queries; the receiver runs in the same process and needs the rest
_MOST_WATCHED: Final = 100
FAULT_MEANINGS: Final = {
    "pack.fell_sensitivity": "模型漏诊比说明卡多 the model misses more than its card says",
    "pack.fell_specificity": "模型误判阳性比说明卡多 the model calls more films wrongly than its card says",
    "pack.trial_crashed": "新版模型试用时中止 a new model stopped on trial",
    "pack.trial_stalled": "新版模型试用时无应答 a new model stalled on trial",
    "pack.trial_unfit": "新版模型自检不合格 a new model failed its own test images",
    "pack.trial_failed": "新版模型判读失败 a new model failed on images",
    "pack.trial_lost": "新版模型不如旧版 a new model did worse by the doctors' words",
    "pack.trial_differs": "新版模型结论差异过大 a new model differs too much",
    "pack.trial_slower": "新版模型过慢 a new model is too slow",
}
"""What the codes of faults mean that call for somebody at the hospital; the others are for the technician."""
_TAGS: Final = ("zh_CN", "en")
_UNWRITTEN: Final = (HOSPITAL_DISK_FULL.code, HOSPITAL_DISK_READ_ONLY.code, InboxUnwritten.code)
_EXPLAINED: Final = (*_UNWRITTEN, "hospital.list_", "hospital.certificate_")
"""Alarms that say why the broker is not heard, so that nobody is sent to look after mosquitto."""
_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # with none at all, browsers send “Origin: null” with our own form
    "Cache-Control": "no-store",
}


@dataclass(frozen=True, slots=True)
class SilentBox:
    """A box that needs a look: `minutes` since its last message (None when there is none or it is unknown), whether
    that was a goodbye, whether it repeats old messages, and whether the last one came while this machine's clock was
    ahead."""

    box: str
    minutes: int | None
    said_goodbye: bool
    repeats: bool
    ahead: bool


def find_silent_boxes(boxes: list[BoxRow], now: datetime, after: timedelta) -> list[SilentBox]:
    """The boxes not heard of for longer than *after*, those whose last message was a goodbye, and those that only
    repeat old messages; the longest silence first."""
    rows = []
    for box in boxes:
        last = datetime.fromisoformat(box.last_at) if box.last_at else None
        gone = box.gone and not box.older  # it sends, but with old numbers
        ahead = last is not None and last - now > urgent_cases.AHEAD
        if last is None or gone or box.older or ahead or now - last > after:
            minutes = int((now - last) / timedelta(minutes=1)) if last and not ahead else None
            rows.append(SilentBox(box.box, minutes, gone, box.older, ahead))
    return sorted(rows, key=lambda one: -(one.minutes if one.minutes is not None else 10**9))


class QueryCache:
    """A cache of query results, each kept for a second; one query at a time."""

    def __init__(self, inbox_db: Path) -> None:
        self._path = inbox_db
        self._lock = threading.Lock()
        self._made: dict[str, tuple[float, Any]] = {}
        self._free_at = 0.0

    def get(self, asked: str, make: Callable[[Inbox], _T]) -> _T:
        """The result of *make* for the key *asked*, at most a second old.  Raises sqlite3.Error."""
        with self._lock:
            time.sleep(max(0.0, self._free_at - time.monotonic()))
            now = time.monotonic()
            self._free_at = now + _BETWEEN_S
            self._made = {key: kept for key, kept in self._made.items() if now - kept[0] < _FRESH_S}
            if asked not in self._made:
                # Opened anew each time: the file may have been replaced by a restored one.
                with closing(Inbox(self._path, read_only=True)) as inbox:
                    self._made[asked] = (now, make(inbox))
            answer: _T = self._made[asked][1]
            return answer


@dataclass(frozen=True, slots=True)
class Alarm:
    """What is wrong here, in both languages, and since when where that is known (ISO 8601, UTC)."""

    code: str
    texts: dict[str, str]
    at: str | None = None


def create_app(
    site: HospitalSite, silent_after: timedelta, hosts: list[str] | None = None, live: InboxProblem | None = None
) -> Flask:
    """The page over one hospital's inbox.  *hosts* are the names it answers to (default: this machine's own); *live* is
    shared with the receiver of this process."""
    live = live or InboxProblem()
    app = Flask(__name__)
    app.config["TRUSTED_HOSTS"] = hosts or ["127.0.0.1", "localhost", "[::1]"]
    app.config["MAX_CONTENT_LENGTH"] = 4096
    answers = QueryCache(site.inbox_db)

    def alarms(inbox: Inbox) -> list[Alarm]:
        return [*_list_current_alarms(site, live), *_list_loss_alarms(inbox)]

    @app.get("/")
    def all_boxes() -> str:
        return answers.get("", lambda inbox: _render_tonight(inbox, silent_after, alarms(inbox)))

    @app.get("/box/<box>")
    def one_box(box: str) -> str:
        before = request.args.get("before", type=int)
        if before is not None and not 0 <= before < 2**63:  # row numbers of SQLite end here
            before = None
        text = answers.get(f"{box} {before}", lambda inbox: _render_box(inbox, box, before))
        return text or abort(404)

    @app.get("/enrol")
    def enrol() -> str:
        return _render_enrolment(answers)

    @app.post("/enrol")
    def enrol_by_code() -> tuple[str, int]:
        if not _is_sent_by_our_page(hosts or ()):
            abort(403)  # another site's page cannot know the code, but could use up the tries
        code, source = request.form.get("code", "")[:40], group_address(request.remote_addr or "")
        try:
            made = box_enrolment.enrol_by_label_code(site, code, box_enrolment.Actor.PAGE, source)
        except LanternError as error:
            return _render_enrolment(answers, error=error), 409
        return _render_enrolment(answers, box=made), 200

    @app.get("/healthz")
    def healthz() -> dict[str, object]:
        try:
            codes = answers.get("/", lambda inbox: _list_alarm_codes(inbox, alarms(inbox)))
        except sqlite3.Error:
            codes = [alarm.code for alarm in _list_current_alarms(site, live)] or ["hospital.inbox"]
        return {"status": "degraded" if codes else "ok", "codes": codes}

    @app.errorhandler(sqlite3.Error)
    def unread(_error: sqlite3.Error) -> tuple[str, int]:
        return render_template("unread.html", path=site.inbox_db, alarms=_list_current_alarms(site, live)), 503

    @app.after_request
    def protect(response: Response) -> Response:
        response.headers.update(_HEADERS)
        return response

    return app


def _list_current_alarms(site: HospitalSite, live: InboxProblem) -> list[Alarm]:
    """What is wrong at this moment, whether or not the inbox can be read."""
    own: list[HospitalError] = [live.error] if live.error else []
    return [*map(_make_alarm, [*own, *certificate_authority.find_date_faults(site.tls)])]


def _make_alarm(error: HospitalError) -> Alarm:
    return Alarm(error.code, {tag: error.text(tag) for tag in _TAGS})


def _list_loss_alarms(inbox: Inbox) -> list[Alarm]:
    """What has happened to the inbox, until a person has seen it."""
    unseen = inbox_tables.list_unseen_losses(inbox.connection)
    return [Alarm(loss.code, {tag: loss.text(tag) for tag in _TAGS}, loss.at) for loss in unseen]


def _list_alarm_codes(inbox: Inbox, alarms: list[Alarm]) -> list[str]:
    """Of the alarms, and how the receiver stands with the broker, unless it says itself that it cannot write."""
    status = receiver_status.read_receiver_status(inbox.connection).list_codes(datetime.now(UTC))
    codes = [alarm.code for alarm in alarms]
    return list(dict.fromkeys(codes if _has_write_alarm(alarms) else [*codes, *status]))


def _has_write_alarm(alarms: list[Alarm]) -> bool:
    return any(alarm.code in _UNWRITTEN for alarm in alarms)


def _is_sent_by_our_page(named: Collection[str]) -> bool:
    """Whether a form comes from a page of this server: by Sec-Fetch-Site, in browsers that do not know it by Origin, in
    older ones by Referer.  What sends none of the three is no browser that somebody else's page could use.

    *named* are the page's further names, under which a proxy may offer it.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site == "same-origin"
    sender = request.headers.get("Origin", request.headers.get("Referer"))
    if sender is None:
        return True
    try:
        given = urlsplit(sender)
        return given.netloc.lower() == request.host.lower() or (given.hostname or "") in named
    except ValueError:
        return False


def _render_tonight(inbox: Inbox, silent_after: timedelta, alarms: list[Alarm]) -> str:
    running = inbox_tables.list_latest_software(inbox.connection)
    now, receiver, boxes = datetime.now(UTC), receiver_status.read_receiver_status(inbox.connection), inbox.list_boxes()
    codes = _list_alarm_codes(inbox, alarms)
    unheard = {"hospital.receiver_silent", "hospital.broker_silent"} & {*codes}
    return render_template(
        "tonight.html",
        now=now,
        meanings=FAULT_MEANINGS,
        receiver=receiver,
        codes=codes,
        alarms=alarms,
        explained=any(alarm.code.startswith(_EXPLAINED) for alarm in alarms),
        unheard=bool(unheard) or _has_write_alarm(alarms),
        urgent=urgent_cases.urgent(inbox.connection, now),
        silent=find_silent_boxes(boxes, now, silent_after),
        boxes=boxes,
        aside=inbox.list_aside(20, also_ordinary=False),
        ordinary=inbox.count_ordinary(),
        watched=inbox_tables.list_latest_drift(inbox.connection)[:_MOST_WATCHED],
        asking=box_enrolment.list_waiting_boxes(inbox),
        versions=inbox_tables.count_versions(running),
        left=[one for one in running if one["left"]],
        slots={one["box"]: one["slot"] for one in running if one["slot"]},
    )


def _render_enrolment(answers: QueryCache, box: BoxBundle | None = None, error: LanternError | None = None) -> str:
    """The form for a label's code, and the boxes that wait for it."""
    asking = answers.get(f"enrol {box.box if box else ''}", box_enrolment.list_waiting_boxes)
    said = {tag: error.text(tag) for tag in _TAGS} if error else None
    return render_template("enrol.html", asking=asking, box=box, error=said)


def _render_box(inbox: Inbox, box: str, before: int | None) -> str | None:
    """The page of one box; None for an unknown box."""
    page = urgent_cases.list_box_cases(inbox.connection, box, datetime.now(UTC), before)
    weeks = inbox_tables.list_drift_weeks(inbox.connection, box)[:_MOST_WATCHED]
    if not page.cases and all(row.box != box for row in inbox.list_boxes()):
        return None
    return render_template("box.html", box=box, page=page, before=before, weeks=weeks)
