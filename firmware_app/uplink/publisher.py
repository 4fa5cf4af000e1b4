"""Sends the rows of `outgoing` to the hospital, urgent ones first, and repeats each until the hospital's signed receipt
has removed it.  The broker's acknowledgement is only used to notice a refusal; it does not prove delivery.

A message is sealed only when it is sent, so that a retired key of the hospital is never used.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

from firmware_app.core import clock
from firmware_app.core.records import Reason
from firmware_app.core.state_dir import free_bytes
from firmware_app.core.version import version
from firmware_app.uplink.connection import Connection, Post
from firmware_app.uplink.errors import BROKER_REFUSED, MessageInvalid, MessageTooLarge
from firmware_app.uplink.exchange.exchange_db import Exchange, OutgoingRow
from firmware_app.uplink.messages.credentials import choose_seal_key
from firmware_app.uplink.messages.envelope import HospitalBundle, seal
from firmware_app.uplink.messages.public_keys import parse_seal_key
from firmware_app.uplink.messages.summary import Kind, Origin, Presence, PresenceKind

log = logging.getLogger("lantern.uplink")

SEND_WINDOW: Final = 64
"""The most digests sent without a receipt; alerts have a window of their own, so that digests never delay them."""
_AGAIN_FIRST_S: Final = 15.0
_UNHEARD_FIRST_S: Final = 1.0
_AGAIN_MOST_S: Final = 600.0
UNCONFIRMED_S: Final = 120.0
"""So long may the broker have taken summaries without any receipt; after that the box says so: within three minutes."""
_LAST_BEAT: Final = 10**9


@dataclass(frozen=True, slots=True)
class _SentRow:
    """A row that was sent: it is due again when this much time has passed without a receipt."""

    again_at: float
    wait: float


class Publisher:
    """Decides what to send and when, on a `Connection` that the caller opens and turns."""

    def __init__(
        self, exchange: Exchange, box: str, identity: Ed25519PrivateKey, hospital: HospitalBundle, folder: Path
    ) -> None:
        """*folder* is where free disk space is looked at."""
        self._exchange, self._box, self._identity, self._hospital = exchange, box, identity, hospital
        self._folder, self._stream = folder, ""
        self._sent: dict[int, _SentRow] = {}
        self._posted: dict[int, int] = {}  # number of the post -> row
        self._taken: set[int] = set()  # rows that the broker has, in this connection or before
        self._unconfirmed_since: float | None = None
        self._session, self._beat = 0, 0
        self._reported: dict[str, object] = {}  # kind and subject -> what was said of it in this connection
        self._signed_keys: bytes | None = None
        self._seal_to: X25519PublicKey = parse_seal_key(hospital.seal)
        self._will = self._seal_to

    # --- the connection's life -----------------------------------------------------------------------------------

    def begin(self) -> Post:
        """A new connection is tried; returns the last will, sealed for it."""
        before, self._stream = self._stream, self._exchange.read_counters().stream
        if before != self._stream:  # the numbers begin at 1 again
            self._taken.clear()
        self._session, self._beat = self._exchange.begin_session(), 0
        self._sent.clear()
        self._posted.clear()
        self.take_keys()
        self._will = self._seal_to
        return self._make_presence(PresenceKind.DEATH, _LAST_BEAT)

    def is_will_valid(self) -> bool:
        """Whether the last will is still valid: of the current stream, and sealed to the hospital's current key."""
        return self._exchange.read_counters().stream == self._stream and self._seal_to == self._will

    def publish_birth(self, connection: Connection) -> None:
        """Announce that the box is online, after the connection is open."""
        self._publish_presence(connection, PresenceKind.BIRTH, 0)
        self._reported.clear()
        self._publish_reports(connection)

    def publish_heartbeat(self, connection: Connection) -> None:
        """Send the box's state."""
        self._beat += 1
        self._publish_presence(connection, PresenceKind.HEALTH, self._beat)
        self._publish_reports(connection)

    def publish_goodbye(self, connection: Connection) -> None:
        """An orderly end says what the last will would have said."""
        self._publish_presence(connection, PresenceKind.DEATH, _LAST_BEAT)

    def _publish_presence(self, connection: Connection, state: PresenceKind, beat: int) -> None:
        connection.post(self._make_presence(state, beat))

    def _publish_reports(self, connection: Connection) -> None:
        """Send what the hospital may know of packs, films and software, where it is new in this connection."""
        health = self._exchange.read_status().health
        origin = Origin(self._box, self._stream, self._session, clock.boot_id())
        hour = clock.format_trusted_hour(clock.stamp())
        for draft in health.reports:
            try:
                report = draft.complete(origin, self._beat, hour)
            except MessageInvalid as error:  # of another version's reader
                log.error("the report “%s” was not sent: %s", draft.name, error)
                continue
            subject = f"{report.name} {report.subject}".rstrip()
            if self._reported.get(subject) != report.content:
                connection.post(self._seal_post(report.encode(), report.kind))
                self._reported[subject] = report.content

    # --- rows ----------------------------------------------------------------------------------------------------

    def take_keys(self) -> None:
        """Use the hospital's newest key; what is under way under an older one is sent again at once."""
        signed = self._exchange.read_keys(self._hospital.verify)
        if signed == self._signed_keys:
            return
        self._signed_keys, before = signed, self._seal_to
        self._seal_to = choose_seal_key(self._hospital, self._box, signed)
        if self._seal_to != before:
            self._sent.clear()

    def send_due(self, connection: Connection) -> bool:
        """Send what is due and fits the window; True when there may be more at once."""
        now = time.monotonic()
        waiting = self._exchange.filter_waiting(self._sent)
        self._sent = {seq: sent for seq, sent in self._sent.items() if seq in waiting}
        under_way = {seq for seq, sent in self._sent.items() if now < sent.again_at}
        room = SEND_WINDOW - len(under_way)
        rows = self._exchange.list_due(room, under_way) if room > 0 else []
        if not rows and room > -SEND_WINDOW:
            rows = self._exchange.list_due(SEND_WINDOW + room, under_way, urgent_only=True)
        for row in rows:
            self._send(connection, row, now)
        return len(rows) > 0

    def is_unconfirmed(self) -> bool:
        """Whether the broker has long had summaries of this box and no receipt has settled any of them."""
        left = self._exchange.filter_waiting(self._taken)
        now = time.monotonic()
        if not left:
            self._unconfirmed_since = None
        elif self._unconfirmed_since is None or len(left) < len(self._taken) or self._exchange.has_unread():
            self._unconfirmed_since = now  # a receipt has come, or waits for the reader's side
        self._taken = left
        return self._unconfirmed_since is not None and now - self._unconfirmed_since > UNCONFIRMED_S

    def handle_answer(self, number: int, refusal: str | None, unheard: bool) -> None:
        """The broker answered one post: a refused row is set aside and the next one flows; one that nobody heard,
        because the hospital has not come back yet, is tried again soon."""
        seq = self._posted.pop(number, None)
        if seq is None:
            return
        if unheard and (sent := self._sent.get(seq)) and sent.wait == _AGAIN_FIRST_S:
            self._sent[seq] = _SentRow(time.monotonic() + _UNHEARD_FIRST_S, _UNHEARD_FIRST_S)
        if refusal is None:
            self._taken.add(seq)
        else:
            log.error("the broker refused summary %d (%s); it is set aside", seq, refusal)
            self._exchange.quarantine(seq, Reason.from_error(BROKER_REFUSED(reason=refusal)))

    def _send(self, connection: Connection, row: OutgoingRow, now: float) -> None:
        message = row.message(self._box)
        try:
            post = self._seal_post(message.encode(), message.kind)
        except MessageTooLarge as error:
            log.error("summary %d is set aside: %s", row.seq, error)
            self._exchange.quarantine(row.seq, Reason.from_error(error))
            return
        number = connection.post(post)
        if number is not None:
            self._posted[number] = row.seq
            before = self._sent.get(row.seq)
            wait = min(2 * before.wait, _AGAIN_MOST_S) if before else _AGAIN_FIRST_S
            self._sent[row.seq] = _SentRow(now + wait, wait)

    def _seal_post(self, body: bytes, kind: Kind) -> Post:
        return Post(
            f"lantern/v1/up/{self._box}/{kind.value}",
            seal(body, kind, self._box, signer=self._identity, hospital=self._seal_to),
        )

    def _make_presence(self, state: PresenceKind, beat: int) -> Post:
        line = self._exchange.read_status()
        presence = Presence(
            origin=Origin(self._box, self._stream, self._session, clock.boot_id()),
            state=state,
            beat=beat,
            version=version(),
            outgoing=line.outgoing,
            quarantined=line.quarantined,
            unread=line.unread,
            free_mb=free_bytes(self._folder) // 1_000_000,
            audit_head=line.audit_head,
            hour=clock.format_trusted_hour(clock.stamp()),
            faults=line.health.faults,
            packs=line.health.packs,
        )
        return self._seal_post(presence.encode(), presence.kind)
