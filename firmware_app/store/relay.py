"""The reader's side of the line: hands the outbox on to exchange.db, and acts on what the hospital has signed.

Killed between any two statements it carries on: exchange.db takes each case revision once, and a receipt is forgotten
only after everything it settles is gone.
"""

from __future__ import annotations

import logging
import sqlite3
from typing import Final

from firmware_app import clock
from firmware_app.config import Config
from firmware_app.device import notify
from firmware_app.errors import Contradicted, KeysOutdated, LanternError, MessageInvalid
from firmware_app.records import Reason
from firmware_app.store.audit import Audit
from firmware_app.store.clinical import Clinical
from firmware_app.store.exchange import Exchange, Incoming
from firmware_app.store.hospital_time import HospitalTime
from firmware_app.store.layout import StateDir
from firmware_app.uplink import credentials
from firmware_app.uplink.envelope import HospitalBundle, open_signed, seal_key
from firmware_app.uplink.summary import Keys, Kind, Receipt, decode

log = logging.getLogger("lantern.relay")

_BATCH: Final = 200


class Relay:
    """One step moves all that can be moved; it is called whenever either database has changed."""

    def __init__(
        self, clinical: Clinical, exchange: Exchange, box: str, hospital: HospitalBundle, budget_bytes: int
    ) -> None:
        self._clinical, self._exchange, self._box = clinical, exchange, box
        self._hospital, self._budget = hospital, budget_bytes
        self._mark, self._time = -1, HospitalTime()
        again = clinical.outbox.relay_again(exchange.carried())
        if again:
            log.warning("%d summaries are handed on again: the exchange database is a new one", again)

    @classmethod
    def of(cls, config: Config, state: StateDir, clinical: Clinical) -> Relay | None:
        """The relay of this box; None when there is no line, or it is not set up (which is said in the log)."""
        if not config.uplink.enabled:
            return None
        exchange = Exchange(state.exchange_db)
        try:
            exchange.create()
            hospital = credentials.hospital(config.uplink)
        except LanternError as error:
            log.error("nothing is handed to the line: %s", error)
            return None
        return cls(clinical, exchange, config.box.id, hospital, config.uplink.budget_mb * 1_000_000)

    def called(self) -> bool:
        """Whether the uplink has written since the last time this was asked; about 4 µs."""
        before, self._mark = self._mark, self._exchange.database.change_mark()
        return before != self._mark

    def close(self) -> None:
        self._exchange.database.close()

    def step(self) -> None:
        """Relay what waits, act on what came.  A database that cannot be written now is tried again next time."""
        try:
            self._step()
        except sqlite3.OperationalError as error:
            log.warning("the summaries wait in the outbox: %s", error)

    def _step(self) -> None:
        clock.stamp()  # which also hands the uplink, who cannot ask for it, what the box knows of the time
        self._act()
        self._hand_on()
        self._exchange.note(unread=self._clinical.unread(), audit_head=Audit(self._clinical.database).head().hash)

    def _hand_on(self) -> None:
        # Over budget, digests wait in clinical.db; an urgent summary always goes on.
        roomy = self._exchange.make_room(self._budget)
        while briefs := self._clinical.outbox.waiting(_BATCH, urgent_only=not roomy):
            notify.alive()
            self._time.handed_on(self._exchange.take_in(briefs))
            self._clinical.outbox.mark_relayed(briefs)
            roomy = self._exchange.make_room(self._budget)

    def _act(self) -> None:
        while received := self._exchange.incoming():
            notify.alive()
            for one in received:
                try:
                    self._obey(one)
                except LanternError as error:
                    log.warning("a message of the kind %s was not used: %s", one.kind.value, error)
            self._exchange.finish(received)

    def _obey(self, one: Incoming) -> None:
        body = open_signed(one.body, one.kind, self._box, self._hospital.verify_key)
        if one.kind is Kind.ACK:
            self._settle(decode(body, Receipt))
        elif one.kind is Kind.KEYS:
            self._replace_key(decode(body, Keys), one.body)
        else:
            raise MessageInvalid(field="kind")  # commands come with a later version

    def _settle(self, receipt: Receipt) -> None:
        if receipt.box != self._box:
            raise MessageInvalid(field="box")
        self._time.signed(receipt.at)
        if receipt.stream != self._exchange.line().stream:
            return  # of an exchange.db that is no more; what it carried was handed on again
        self._time.answered(receipt)
        self._clinical.outbox.settle(self._exchange.carried(receipt.taken))
        self._exchange.settle(receipt.taken)
        for refusal in receipt.refused:
            log.error("the hospital will not count summary %d (%s)", refusal.seq, refusal.code)
            if refusal.code == Contradicted.code:  # this exchange.db was put back from a copy: its numbers were used
                self._exchange.renumber(refusal.seq)
            else:
                self._exchange.quarantine(refusal.seq, Reason(refusal.code))

    def _replace_key(self, keys: Keys, signed: bytes) -> None:
        if keys.box != self._box:
            raise MessageInvalid(field="box")
        seal_key(keys.seal)
        if keys.serial > self._hospital.serial and self._exchange.keep_keys(self._hospital.verify, keys.serial, signed):
            log.info("the hospital's sealing key is now number %d", keys.serial)
        elif keys.serial < self._hospital.serial:
            raise KeysOutdated(serial=keys.serial)
