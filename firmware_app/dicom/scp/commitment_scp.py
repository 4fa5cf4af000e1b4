"""Storage Commitment at the DICOM port (PS3.4 J): as provider for what the box keeps, and as user for its own results.

A device that asks (N-ACTION) is answered on the same association if it stays, else by the sender process on one of its
own, where the configuration says where the device listens.  An archive's answer to our request (N-EVENT-REPORT) is in
the database before it is confirmed.
"""

from __future__ import annotations

import logging
import sqlite3
from dataclasses import dataclass
from typing import Final

from pynetdicom.dsutils import encode

from firmware_app.core.errors import StoreError
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir
from firmware_app.dicom import commitment, transfer_syntax
from firmware_app.dicom.commitment import CommitmentAnswer, InvalidCommitment
from firmware_app.dicom.peers import find_peer
from firmware_app.dicom.scp import dimse as dimse
from firmware_app.dicom.storage import CommitmentRecords

log = logging.getLogger("lantern.gateway")

PAUSE_S: Final = 1.0
"""A machine that is silent for so long after it has asked is waiting for the answer on this association."""


@dataclass(frozen=True, slots=True)
class PendingAnswer:
    """An answer that is still to be given; its number in the database, None where it can be given only here."""

    context: int
    answer: CommitmentAnswer
    sequence: int | None


@dataclass(frozen=True, slots=True)
class CommitmentSCP:
    """Answers from *commitments*; safe to share between threads."""

    config: Config
    state: StateDir
    commitments: CommitmentRecords

    def forget(self) -> None:
        """At the start of the gateway: no association is open any more on which an answer could be given."""
        self.commitments.release_answers()

    def handle_request(
        self, calling_ae: str, context: int, data: bytes, syntax: str
    ) -> tuple[int, PendingAnswer | None]:
        """The status for an N-ACTION (PS3.4 J.3.2.1.5), and the answer that follows it."""
        try:
            request = commitment.parse_commitment(data, explicit=syntax != transfer_syntax.IMPLICIT_LITTLE)
            answer = self.commitments.answer(self.state.root, request.transaction_uid, request.kept)
            may_dial = find_peer(self.config, calling_ae) is not None
            return dimse.SUCCESS, PendingAnswer(
                context, answer, self.commitments.store_answer(calling_ae, answer) if may_dial else None
            )
        except InvalidCommitment:
            return dimse.INVALID_ARGUMENT, None
        except (sqlite3.Error, StoreError) as error:
            log.error("a storage commitment cannot be answered: %s", getattr(error, "sqlite_errorname", "error"))
            return dimse.PROCESSING_FAILURE, None

    def handle_report(self, data: bytes, syntax: str) -> int:
        """The status for an N-EVENT-REPORT (PS3.4 J.3.3.1.5); a success is durable."""
        try:
            said = commitment.parse_commitment(data, explicit=syntax != transfer_syntax.IMPLICIT_LITTLE)
            return dimse.SUCCESS if self.commitments.record_report(said) else dimse.PROCESSING_FAILURE
        except InvalidCommitment:
            return dimse.INVALID_ARGUMENT
        except (sqlite3.Error, StoreError) as error:
            log.error("a storage commitment cannot be recorded: %s", getattr(error, "sqlite_errorname", "error"))
            return dimse.PROCESSING_FAILURE

    def encode_answer(self, answer: CommitmentAnswer, syntax: str) -> bytes:
        """The data set of *answer* for an N-EVENT-REPORT."""
        data: bytes | None = encode(commitment.build_answer(answer), syntax == transfer_syntax.IMPLICIT_LITTLE, True)
        assert data is not None, "its UIDs were checked when they came"
        return data

    def settle_answer(self, owed: PendingAnswer, *, delivered: bool) -> None:
        """The association has ended, or the machine has the answer."""
        if owed.sequence is None:
            if not delivered:
                log.warning("a machine asked for storage commitment and left; [dicom] commitment_to does not name it")
            return
        try:
            if delivered:
                self.commitments.remove_answer(owed.sequence)
            else:
                self.commitments.release_answers(owed.sequence)
        except (sqlite3.Error, StoreError) as error:  # it is given again after the gateway's next start
            log.error("a storage commitment cannot be recorded: %s", getattr(error, "sqlite_errorname", "error"))
