"""The reader's side of the uplink: copies the outbox to exchange.db, and processes what the hospital has signed.

The relay continues after a kill or a full disk between any two statements: rows in exchange.db that are not recorded in
clinical.db are deleted and copied again, and a receipt is deleted only after everything that it settles.  The content
of exchange.db is never trusted, because the uplink's user may write it.

`ReceiptClock` learns the time from the receipts.  A receipt says when it was signed, but not how long it was delayed at
the broker.  It cannot have been signed before the numbers in it were given out, and the seconds since then are counted
here by a counter that cannot be set.  So a receipt for a message sent s seconds ago is at most s seconds old.  If s is
small, the receipt gives the current time (Cristian 1989, "Probabilistic clock synchronization").
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterable
from datetime import timedelta
from typing import Final

from cryptography import x509

from firmware_app.cases.audit import Audit
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.core import clock, notify
from firmware_app.core.clock import ImplausibleTime, TimeSource
from firmware_app.core.errors import LanternError
from firmware_app.core.records import Reason
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir
from firmware_app.uplink.errors import KEYS_OUTDATED, Contradicted, EnvelopeMalformed, MessageInvalid
from firmware_app.uplink.exchange.exchange_db import BoxHealth, Exchange, IncomingMessage, OutgoingRow
from firmware_app.uplink.messages import credentials
from firmware_app.uplink.messages.envelope import HospitalBundle, open_signed
from firmware_app.uplink.messages.summary import Kind, Receipt, decode, hash_body
from firmware_app.uplink.outbox import KnownStream, Outbox

log = logging.getLogger("lantern.relay")

_BATCH: Final = 200


def _read_certificate_start(config: Config) -> float:
    """When the certificate begins with which the hospital's authority let this box in."""
    if config.uplink.tls_cert is None:
        return 0.0
    try:
        begins = x509.load_pem_x509_certificate(config.uplink.tls_cert.read_bytes()).not_valid_before_utc
    except (OSError, ValueError) as error:  # the uplink says so
        log.warning("the certificate of this box does not help to judge the hospital's clock (%s)", error)
        return 0.0
    return begins.timestamp()


class Relay:
    """One step moves all that can be moved; it is called whenever either database has changed."""

    def __init__(
        self,
        clinical: ClinicalDatabase,
        exchange: Exchange,
        box: str,
        hospital: HospitalBundle,
        budget_bytes: int,
        dated: float = 0.0,
    ) -> None:
        """*dated*: when the box's certificate begins, in Unix seconds; 0 where it has none."""
        self._clinical, self._exchange, self._box = clinical, exchange, box
        self._hospital, self._budget = hospital, budget_bytes
        self._mark, self._dated, self._time = -1, dated, ReceiptClock(dated)
        self._broken_off = False  # a step ended between two writes
        self._memory = KnownStream(clinical.database)
        self._resume()

    @classmethod
    def from_config(cls, config: Config, state: StateDir, clinical: ClinicalDatabase) -> Relay | None:
        """The relay of this box; None when there is no line, or it is not set up (which is said in the log)."""
        if not config.uplink.enabled:
            return None
        exchange = Exchange(state.exchange_db)
        try:
            exchange.create()
            hospital = credentials.load_hospital(config.uplink)
        except LanternError as error:
            log.error("nothing is handed to the line: %s", error)
            return None
        return cls(
            clinical=clinical,
            exchange=exchange,
            box=config.box.id,
            hospital=hospital,
            budget_bytes=config.uplink.budget_mb * 1_000_000,
            dated=_read_certificate_start(config),
        )

    def has_changes(self) -> bool:
        """Whether the uplink has written since the last time this was asked; about 4 µs."""
        before, self._mark = self._mark, self._exchange.database.read_change_mark()
        return before != self._mark

    def close(self) -> None:
        self._exchange.database.close()

    def step(self, health: BoxHealth | None = None) -> None:
        """Copy waiting rows and process received messages; *health* is the box's new health, None if unchanged.

        If a database cannot be written, or its content is invalid, the step is tried again next time.
        """
        try:
            self._step(health)
        except sqlite3.OperationalError as error:
            self._broken_off = True
            log.warning("the summaries wait in the outbox: %s", error)
        except LanternError as error:
            self._broken_off = True
            log.error("the summaries wait in the outbox (%s)", error.code)

    def _step(self, health: BoxHealth | None) -> None:
        clock.stamp()  # which also hands the uplink, who cannot ask for it, what the box knows of the time
        counters = self._exchange.read_counters()
        if self._broken_off or not self._memory.matches(counters):
            self._resume()
            self._broken_off = False
        else:
            self._memory.record_session(counters.session)
        self._process_incoming()
        self._forward()
        self._exchange.write_facts(
            unread=self._clinical.count_unread(),
            audit_head=Audit(self._clinical.database).read_head().hash,
            health=health,
        )

    def _resume(self) -> None:
        """Go on in the stream that is known, or begin a new one."""
        outbox = Outbox(self._clinical.database)
        if self._memory.matches(self._exchange.read_counters()):
            known, there = outbox.list_numbers(), self._exchange.list_numbers()
            self._exchange.delete(there - known)  # killed, or out of disk, before we had written them down
            again = outbox.mark_for_resending(known - there) if known - there else 0
        else:
            again = self._begin_stream()
        if again:
            log.warning("%d summaries are handed on again: the exchange database did not have them any more", again)
        if (known_keys := self._read_known_keys()) is not None:  # a new file does not have them
            self._exchange.keep_keys(self._hospital.verify, *known_keys)

    def _begin_stream(self) -> int:
        """Hand on all that has no receipt in a new stream; returns how many summaries that are."""
        self._exchange.begin_stream()
        self._time = ReceiptClock(self._dated)  # the numbers begin at 1 again
        with self._clinical.database.transaction():
            self._memory.begin(self._exchange.read_counters())
            return Outbox(self._clinical.database).mark_for_resending()

    def _forward(self) -> None:
        """Over budget, digests wait in clinical.db; an urgent summary always goes on."""
        outbox = Outbox(self._clinical.database)
        while briefs := outbox.list_waiting(_BATCH, urgent_only=self._exchange.count_used_bytes() > self._budget):
            notify.ping_watchdog()
            self._record_forwarded(self._exchange.take_in(briefs))

    def _record_forwarded(self, rows: list[OutgoingRow]) -> None:
        handed = [(row.brief, row.seq, hash_body(row.message(self._box).encode())) for row in rows]
        with self._clinical.database.transaction():
            Outbox(self._clinical.database).record_relayed(handed)
            self._memory.record_used(rows)
        self._time.record_sent(row.seq for row in rows)

    def _process_incoming(self) -> None:
        while received := self._exchange.list_incoming():
            notify.ping_watchdog()
            for incoming_message in received:
                try:
                    self._process_message(incoming_message)
                except LanternError as error:
                    log.warning("a message of the kind %s was not used: %s", incoming_message.kind.value, error)
            self._exchange.delete_incoming(received)

    def _process_message(self, one: IncomingMessage) -> None:
        if one.kind is Kind.KEYS:
            self._keep_keys(one.body)
            return
        body = open_signed(one.body, one.kind, self._box, self._hospital.verify_key)
        if one.kind is not Kind.ACK:
            raise MessageInvalid(field="kind")  # commands come with a later version
        self._settle(decode(body, Receipt))

    def _settle(self, receipt: Receipt) -> None:
        if receipt.box != self._box:
            raise MessageInvalid(field="box")
        if receipt.at:
            self._time.record_signed_time(receipt.at)
        if receipt.stream != self._memory.read_stream():  # of an exchange.db that is no more
            return
        outbox, taken = (
            Outbox(self._clinical.database),
            [(taken_message.seq, taken_message.body) for taken_message in receipt.taken],
        )
        right = [seq for seq, hashed in taken if outbox.is_awaiting_receipt(seq, hashed)]
        if receipt.at:
            self._time.learn_from_receipt(receipt.at, right)
        others = outbox.settle(taken, receipt.at)
        if others:
            log.error("under %d numbers the hospital has something that this box did not send", len(others))
            outbox.mark_for_resending(others)
        self._exchange.delete([seq for seq, _ in taken])
        for refused_message in receipt.refused:
            if outbox.is_awaiting_receipt(refused_message.seq, refused_message.body):
                self._handle_refusal(refused_message.seq, refused_message.code)

    def _handle_refusal(self, seq: int, code: str) -> None:
        log.error("the hospital will not count summary %d (%s)", seq, code)
        if code != Contradicted.code:
            self._exchange.quarantine(seq, Reason(code))
        elif (
            seq in Outbox(self._clinical.database).list_numbers()
        ):  # used before: both databases were put back from one copy
            log.warning("%d summaries are handed on again in a new stream", self._begin_stream())

    def _keep_keys(self, signed: bytes) -> None:
        """Keep the hospital's newest key here, and copy it to the exchange."""
        keys = credentials.open_keys(signed, self._box, self._hospital)
        known = self._read_known_keys()
        if keys.serial < max(self._hospital.serial, known[0] if known else 0):
            raise KEYS_OUTDATED(serial=keys.serial)
        if known is None or keys.serial > known[0]:
            self._memory.keep_keys(self._hospital.verify, signed)
            log.info("the hospital's sealing key is number %d", keys.serial)
        self._exchange.keep_keys(self._hospital.verify, keys.serial, signed)

    def _read_known_keys(self) -> tuple[int, bytes] | None:
        """The number of the newest keys message and its bytes; None for one in the form of an earlier version."""
        kept = self._memory.read_keys(self._hospital.verify)
        try:
            return None if kept is None else (credentials.open_keys(kept, self._box, self._hospital).serial, kept)
        except EnvelopeMalformed:
            return None


clock_log = logging.getLogger("lantern.clock")

MOST_RECEIPT_AGE_S: Final = 600.0
"""A receipt that may be older than this does not set the clock: it would be off by up to half of it."""
_CONFIRMED_WITHIN: Final = timedelta(hours=1)
_MOST_NUMBERS_KEPT: Final = 4096


class ReceiptClock:
    """What one relay learns about the time.  The numbers it has given out are kept only here, in memory: someone who
    carries the messages can delay or repeat a receipt, but must not be able to set the clock with it."""

    def __init__(self, dated: float = 0.0) -> None:
        """*dated*: when the box's certificate begins, in Unix seconds; 0 where it has none."""
        self._dated, self._apart = dated, False
        self._given: dict[int, float] = {}
        self._highest = 0

    def record_sent(self, seqs: Iterable[int]) -> None:
        """These numbers are given out now.  A number given out before may already have its receipt, and is ignored."""
        now = clock.uptime_seconds()
        for seq in seqs:
            if seq > self._highest:
                self._given[seq], self._highest = now, seq
        while len(self._given) > _MOST_NUMBERS_KEPT:
            del self._given[next(iter(self._given))]

    def record_signed_time(self, at: int) -> None:
        """The hospital has signed a message at *at*: by its clock this moment has passed."""
        clock.current_clock().record_passed(float(at), dated=self._dated)

    def learn_from_receipt(self, at: int, taken: Iterable[int]) -> None:
        """A receipt for these numbers of this box's own stream, signed at *at*; the clock is set by it if it is
        certainly fresh."""
        given = [self._given.pop(seq) for seq in taken if seq in self._given]
        if not given:
            return
        age = clock.uptime_seconds() - max(given) + 1.0  # `at` has whole seconds
        if age > MOST_RECEIPT_AGE_S:
            return
        before = clock.current_clock().status()
        if before.source in (TimeSource.HOSPITAL, TimeSource.HOSPITAL_ALONE) and before.learned is not None:
            shown, since = before.stamp.at.timestamp(), before.stamp.at - before.learned
            if at <= shown <= at + age and since < _CONFIRMED_WITHIN:  # the clock is right and was confirmed recently
                return
        try:
            after = clock.current_clock().learn(at + age / 2, TimeSource.HOSPITAL, dated=self._dated)
        except ImplausibleTime:
            if not self._apart:
                clock_log.error("the hospital's clock and this box contradict each other; the box keeps its own time")
            self._apart = True
            return
        self._apart = False
        if before.source is not after.source:
            clock_log.info("the box's time comes from the hospital's receipt now")
