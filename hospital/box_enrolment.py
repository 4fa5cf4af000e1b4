"""Enrolment over the line, at the hospital: which boxes ask, and what typing a label's code does.

A request is kept only if it was made with the code of a label that was printed here, so a stranger's is neither shown
nor stored.  A person then types the code of the label; that is the consent.  The answer is kept and sent again as often
as the box repeats that request: a lost answer costs nothing, and a repeated request gets nothing new.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Final

from firmware_app.core.errors import LanternError
from firmware_app.uplink.errors import BUNDLE_INVALID
from firmware_app.uplink.messages.enrolment import EnrolAnswer, EnrolRequest, enrolment_port
from firmware_app.uplink.messages.envelope import BoxBundle, Enrolment, normalize_code
from firmware_app.uplink.messages.summary import decode
from hospital import certificate_authority
from hospital.errors import ENROLMENT_AWAITED, LABEL_CODE_EXPIRED, LABEL_CODE_USED, LABEL_CODE_WRONG, LABEL_CODES_TRIED
from hospital.hospital_site import HospitalSite
from hospital.inbox.inbox_db import Inbox
from hospital.new_boxes import derive_label_code, load_code_secret

MOST_TRIES: Final = 5
WITHIN: Final = timedelta(minutes=15)
_TRIED: Final = "code.wrong"


class Actor(Enum):
    """Where a person typed, or what came by itself."""

    LINE = "line"
    PAGE = "page"
    CONSOLE = "console"


class RequestOutcome(Enum):
    """What a request is."""

    STRANGE = "strange"  # no label of that box, or not its code
    WAITS = "waits"
    ANSWERED = "answered"  # its answer is sent again
    LATE = "late"  # another request was answered with this code, or it has expired


@dataclass(frozen=True, slots=True)
class WaitingBox:
    """A box that waits for its label's code to be typed."""

    box: str
    since: str


@dataclass(frozen=True, slots=True)
class DueAnswer:
    """An answer to be sent under the box's token."""

    box: str
    token: str
    answer: bytes


# --- what comes by the line -------------------------------------------------------------------------------------------


def find_labelled_box(inbox: Inbox, body: bytes) -> str | None:
    """The box that a request names, if it has a label: what costs nothing to see, before it takes a place."""
    try:
        box = decode(body, EnrolRequest).box.box
    except (LanternError, ValueError):
        return None
    row = inbox.connection.execute("SELECT 1 FROM label_codes WHERE box = ?", (box,)).fetchone()
    return box if row is not None else None


def receive_request(site: HospitalSite, inbox: Inbox, token: str, body: bytes) -> RequestOutcome:
    """Take a request in.  It costs one scrypt where the box has a label; the caller limits how often."""
    try:
        request = decode(body, EnrolRequest)
        certificate_authority.parse_box_key(request.box.tls)
    except (LanternError, ValueError):
        return RequestOutcome.STRANGE
    box, hashed = request.box.box, hashlib.sha256(body).hexdigest()
    row = inbox.connection.execute("SELECT * FROM label_codes WHERE box = ?", (box,)).fetchone()
    if row is None:
        return RequestOutcome.STRANGE
    if row["request"] is not None and hmac.compare_digest(row["request"], hashed):
        with inbox.transaction() as connection:
            connection.execute("UPDATE label_codes SET token = ? WHERE box = ?", (token, box))
        return RequestOutcome.ANSWERED
    try:
        request.check_proof(derive_label_code(load_code_secret(site), box))
    except LanternError:
        return RequestOutcome.STRANGE
    if row["used_at"] is not None or row["expires"] < time.time():
        return RequestOutcome.LATE
    with inbox.transaction() as connection:
        former = connection.execute("SELECT body FROM enrol_requests WHERE box = ?", (box,)).fetchone()
        connection.execute(
            "INSERT INTO enrol_requests VALUES (?, ?, ?, ?) ON CONFLICT (box) DO UPDATE SET token = excluded.token,"
            " received_at = iif(body = excluded.body, received_at, excluded.received_at), body = excluded.body",
            (box, token, body, _now()),
        )
        if former is None or former["body"] != body:
            _add_to_audit(inbox, Actor.LINE, "asked", box)
    return RequestOutcome.WAITS


def list_due_answers(inbox: Inbox) -> list[DueAnswer]:
    """The answers that were not sent yet, or are asked for again."""
    rows = inbox.connection.execute("SELECT box, token, answer FROM label_codes WHERE token IS NOT NULL")
    return [DueAnswer(row["box"], row["token"], row["answer"]) for row in rows]


def mark_answer_sent(inbox: Inbox, one: DueAnswer) -> None:
    """Note that the broker has the answer."""
    with inbox.transaction() as connection:
        connection.execute("UPDATE label_codes SET token = NULL WHERE box = ? AND token = ?", (one.box, one.token))


# --- what a person does -----------------------------------------------------------------------------------------------


def list_waiting_boxes(inbox: Inbox) -> list[WaitingBox]:
    """The boxes that wait, the longest first."""
    rows = inbox.connection.execute("SELECT box, received_at FROM enrol_requests ORDER BY received_at")
    return [WaitingBox(row["box"], row["received_at"]) for row in rows]


def enrol_by_label_code(site: HospitalSite, code: str, actor: Actor, source: str = "") -> BoxBundle:
    """Enrol the box whose label has *code*, which a person has typed at *source*, an address.

    Wrong codes are counted by source, so that nobody uses up the tries of another; at the console they are not limited,
    where the keys themselves can be read.

    Raises `LABEL_CODES_TRIED`, `LABEL_CODE_WRONG`, `LABEL_CODE_USED`, `LABEL_CODE_EXPIRED`, `ENROLMENT_AWAITED`, and
    what `HospitalSite.enrol` raises; then no box was enrolled, and the code is as good as before.
    """
    with closing(site.open_inbox()) as inbox:
        number = _take_try(inbox, actor, source)
        box = _find_box_of_code(site, inbox, code)
        try:
            made = _enrol_waiting_box(site, inbox, box, code)
        except LanternError as error:
            _correct_audit(inbox, number, f"refused {error.code}", box)
            raise
        _correct_audit(inbox, number, "enrolled", box)
    return made


def _enrol_waiting_box(site: HospitalSite, inbox: Inbox, box: str, code: str) -> BoxBundle:
    row = inbox.connection.execute("SELECT expires, used_at FROM label_codes WHERE box = ?", (box,)).fetchone()
    if row["used_at"] is not None:
        raise LABEL_CODE_USED(box=box)
    if row["expires"] < time.time():
        raise LABEL_CODE_EXPIRED(box=box, ends=f"{datetime.fromtimestamp(row['expires'], UTC):%Y-%m-%d %H:%M} UTC")
    asked = inbox.connection.execute("SELECT token, body FROM enrol_requests WHERE box = ?", (box,)).fetchone()
    if asked is None:
        raise ENROLMENT_AWAITED(box=box, port=enrolment_port(site.load_bundle().port))
    request = decode(asked["body"], EnrolRequest)
    key = request.check_proof(code)
    written = site.admit(request.box, certificate_authority.parse_box_key(request.box.tls))
    try:
        enrolment = decode(written.read_bytes().strip(), Enrolment)
    except OSError as error:
        raise BUNDLE_INVALID(path=str(written), detail=error.strerror or str(error)) from None
    answer = EnrolAnswer.create(asked["body"], site.load_bundle(), enrolment, key)
    with inbox.transaction() as connection:
        used = connection.execute(
            "UPDATE label_codes SET used_at = ?, request = ?, answer = ?, token = ? WHERE box = ? AND used_at IS NULL",
            (_now(), answer.request, answer.encode(), asked["token"], box),
        )
        if used.rowcount != 1:  # typed at two places in the same second
            raise LABEL_CODE_USED(box=box)
        connection.execute("DELETE FROM enrol_requests WHERE box = ?", (box,))
    return request.box


def _take_try(inbox: Inbox, actor: Actor, source: str) -> int:
    """Count one try as wrong until it turns out right, so that no two processes guess side by side."""
    now = datetime.now(UTC)
    with inbox.transaction() as connection:
        (tries,) = connection.execute(
            "SELECT count(*) FROM enrol_audit WHERE action = ? AND source = ? AND at BETWEEN ? AND ?",
            (_TRIED, source, _format_time(now - WITHIN), _format_time(now)),
        ).fetchone()
        if tries >= MOST_TRIES and actor is not Actor.CONSOLE:
            raise LABEL_CODES_TRIED()
        return _add_to_audit(inbox, actor, _TRIED, "", source)


def _find_box_of_code(site: HospitalSite, inbox: Inbox, code: str) -> str:
    """The box whose label has *code*; every label is compared, so that the time tells nothing."""
    secret, typed, found = load_code_secret(site), normalize_code(code).encode("utf-8", "replace"), ""
    for row in inbox.connection.execute("SELECT box FROM label_codes"):
        if hmac.compare_digest(normalize_code(derive_label_code(secret, row["box"])).encode(), typed):
            found = row["box"]
    if not found:
        raise LABEL_CODE_WRONG()
    return found


def _add_to_audit(inbox: Inbox, actor: Actor, action: str, box: str, source: str = "") -> int:
    """Add a row to the audit, inside the caller's transaction."""
    added = inbox.connection.execute(
        "INSERT INTO enrol_audit (at, actor, action, box, source) VALUES (?, ?, ?, ?, ?)",
        (_now(), actor.value, action, box, source),
    )
    return added.lastrowid or 0


def _correct_audit(inbox: Inbox, number: int, action: str, box: str) -> None:
    """The code was that of a label: what became of the try."""
    with inbox.transaction() as connection:
        connection.execute("UPDATE enrol_audit SET action = ?, box = ? WHERE id = ?", (action, box, number))


def _now() -> str:
    return _format_time(datetime.now(UTC))


def _format_time(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")
