"""One association as acceptor (PS3.8 9.2, states 2, 3 and 6): negotiate, receive, answer, end.

pynetdicom encodes the A-ASSOCIATE-AC.  The loop and the data path are our own, because pynetdicom's reactor reads a PDU
of any length, polls every millisecond from two threads, and lets a silent socket hold one of the places.  What a
message asks for is done by the services beside this module: `StorageSCP`, `WorklistSCP`, `CommitmentSCP`.
"""

from __future__ import annotations

import logging
import socket
import ssl
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from firmware_app.core.settings import DicomSection
from firmware_app.dicom import commitment, negotiation
from firmware_app.dicom.association_log import AssociationLog
from firmware_app.dicom.commitment import PUSH_MODEL, WELL_KNOWN_INSTANCE
from firmware_app.dicom.errors import PROTOCOL_BROKEN
from firmware_app.dicom.scp import dimse as dimse
from firmware_app.dicom.scp import pdu
from firmware_app.dicom.scp.association_slots import SlotHolder
from firmware_app.dicom.scp.commitment_scp import PAUSE_S, CommitmentSCP, PendingAnswer
from firmware_app.dicom.scp.dimse import Command
from firmware_app.dicom.scp.storage_scp import ArrivingObject, StorageSCP
from firmware_app.dicom.scp.worklist_scp import MODALITY_WORKLIST, MOST_BYTES, WorklistAnswer, WorklistSCP

log = logging.getLogger("lantern.gateway")

_COMMAND_LIMIT = 65_536
_LINGER_S = 2.0
_LINGER_BYTES = 1_000_000
# Each fragment costs time, however small: after the first 16,384 of a message they must carry 64 bytes on average.
_FRAGMENT_BYTES = 64
_SMALL_FRAGMENTS = 16_384
_LEAST_PDU_BYTES = 1024  # a message that comes in smaller pieces is silence, until it is whole
_MOST_OWED = 16
_REPORT_ID = 1  # the Message ID of our only kind of request: one is under way at a time
# The data sets that are kept in memory, by command and service, and how long they may be.
_WITH_IDENTIFIER = {
    (dimse.C_FIND_RQ, MODALITY_WORKLIST): MOST_BYTES,
    (dimse.N_ACTION_RQ, PUSH_MODEL): commitment.MOST_BYTES,
    (dimse.N_EVENT_REPORT_RQ, PUSH_MODEL): commitment.MOST_BYTES,
}


@dataclass(slots=True)
class _Incoming:
    """The message whose data set is arriving."""

    context: int
    command: Command
    arriving: ArrivingObject | None = None
    """Of a C-STORE."""
    dropped: int = 0
    identifier: bytearray | None = None
    """Of a question: what is asked for; of an answer of storage commitment: what is said."""


@dataclass(frozen=True, slots=True)
class SlotCalls:
    """How an association takes one of the limited places and gives it back."""

    take: Callable[[SlotHolder], bool]
    give: Callable[[SlotHolder], None]


@dataclass(slots=True, eq=False)
class Association:
    """Serves one connection, in its own thread, from the request to the end."""

    connection: socket.socket
    address: str
    config: DicomSection
    places: SlotCalls
    turned_away: AssociationLog
    storage: StorageSCP
    worklist: WorklistSCP
    commitments: CommitmentSCP
    request_deadline: float
    counts: Counter[str] = field(default_factory=Counter)
    _contexts: dict[int, negotiation.AcceptedContext] = field(default_factory=dict)
    _peer_max_pdu: int = 0
    _caller: str = ""
    _command: bytearray = field(default_factory=bytearray)
    _command_context: int | None = None
    _incoming: _Incoming | None = None
    _fragments: int = 0
    _fragment_bytes: int = 0
    _is_sending: bool = False
    _is_waiting: bool = False
    _silent_since: float = 0.0
    _last_pdu_bytes: int = 0
    _acceptance: bytes = b""
    _owed: list[PendingAnswer] = field(default_factory=list)
    """Answers of storage commitment that the peer has not confirmed."""
    _told: PendingAnswer | None = None
    """The one of them that was given, until the peer confirms it."""

    def serve(self) -> None:
        """Run the association from its first PDU to its end; the caller closes the connection."""
        reader = pdu.PduReader(self.connection, self.config.max_pdu, self.request_deadline)
        has_place = False
        try:
            has_place = self._negotiate(reader)
            if has_place:
                self._send(self._acceptance)
                reader.idle_seconds = self.config.idle_seconds
                reader.deadline = time.monotonic() + self.config.association_seconds
                while self._serve_one(*self._next(reader)):
                    pass
        except pdu.ProtocolViolation as violation:
            self.counts["aborted"] += 1
            self._send_last(pdu.encode_abort(violation.reason))
            arriving = self._incoming.arriving if self._incoming is not None else None
            if has_place and (arriving is None or arriving.error is None):  # else it is journalled already
                self.storage.door.refuse(self.storage.source, PROTOCOL_BROKEN())
        except pdu.ConnectionLost:
            self.counts["lost"] += 1
            self._send_last(pdu.encode_abort(pdu.NOT_SPECIFIED))
        finally:
            self._end()
            if has_place:
                self.places.give(self)
        self._linger()

    def _next(self, reader: pdu.PduReader) -> tuple[int, memoryview]:
        """The next PDU; a peer that waits for an answer of storage commitment gets it meanwhile."""
        is_between_messages = not self._command and self._incoming is None
        if self._owed and self._told is None and is_between_messages and not reader.wait_readable(PAUSE_S):
            self._send_report(self._owed[0])
        if is_between_messages or self._last_pdu_bytes >= _LEAST_PDU_BYTES:
            self._silent_since = time.monotonic()
        self._is_waiting = True
        try:
            kind, content = reader.next()
        finally:
            self._is_waiting = False
        self._last_pdu_bytes = len(content)
        return kind, content

    def silent_s(self) -> float:
        """Seconds for which the peer has neither sent nor read; 0 while the box itself is at work."""
        return time.monotonic() - self._silent_since if self._is_waiting else 0.0

    def yield_slot(self) -> None:
        """Called from another thread when this association must leave its place to another."""
        log.warning("association ended for another: no place is free, and this one is silent")
        with suppress(OSError):
            # Its own thread then reads the end of the input, or can send no more, and closes the association.
            socket.socket.shutdown(self.connection, socket.SHUT_RDWR if self._is_sending else socket.SHUT_RD)

    # --- opening and closing ---------------------------------------------------------------------------------------

    def _negotiate(self, reader: pdu.PduReader) -> bool:
        kind, content = reader.next()
        if kind != pdu.A_ASSOCIATE_RQ:
            raise pdu.ProtocolViolation(pdu.UNEXPECTED_PDU)
        try:
            request = negotiation.decode_request(bytes(content))
            agreement = negotiation.accept_request(request, self.config.max_pdu, self.worklist.config)
        except negotiation.InvalidRequest:
            raise pdu.ProtocolViolation(pdu.INVALID_PARAMETER) from None
        rejection = negotiation.find_rejection(request, self.address, self.config)
        if rejection is None and not self.places.take(self):
            rejection = negotiation.NO_SLOT
        if rejection is not None:
            log.warning("association rejected: %s", rejection.why)
            self.turned_away.record_rejection(request.calling_ae, request.called_ae, self.address, rejection.why)
            self._send_last(rejection.encode())
            return False
        lacking = agreement.find_refused_services(request, self.worklist.config)
        self.turned_away.record_admission(request.calling_ae, self.address, lacking is None)
        if lacking is not None:
            self.turned_away.record_rejection(request.calling_ae, request.called_ae, self.address, *lacking)
        self._contexts = agreement.contexts
        self._peer_max_pdu = request.max_pdu
        self._caller, self.storage.source = request.calling_ae, f"dicom:{request.calling_ae}"
        self._acceptance = agreement.encoded
        return True

    def _end(self) -> None:
        """Discard what is half-received, and record that the sender has gone."""
        if self._incoming is not None and self._incoming.arriving is not None:
            self.storage.discard(self._incoming.arriving)
        self.storage.close()
        for owed in self._owed:
            self.commitments.settle_answer(owed, delivered=False)
        self.storage.door.clinical.database.close_thread()
        if counted := self.counts + self.storage.counts:
            counts = ", ".join(f"{count} {what}" for what, count in sorted(counted.items()))
            log.info("association ended: %s", counts)

    def _linger(self) -> None:
        """Let the peer read our last PDU and close first (ARTIM, PS3.8 9.1.5), for a short time only."""
        deadline, unread = time.monotonic() + _LINGER_S, 0
        try:
            if isinstance(self.connection, ssl.SSLSocket):
                self.connection.settimeout(_LINGER_S)
                self.connection.unwrap()
                return
            self.connection.shutdown(socket.SHUT_WR)
            while (remaining := deadline - time.monotonic()) > 0 and unread < _LINGER_BYTES:
                self.connection.settimeout(remaining)
                received = len(self.connection.recv(65_536))
                if received == 0:
                    return
                unread += received
        except OSError:
            return

    def _send(self, data: bytes) -> None:
        """Send *data*; raises `pdu.ConnectionLost`, also when the peer reads only a part of it."""
        self._silent_since = time.monotonic()
        self._is_sending = self._is_waiting = True
        try:
            self.connection.settimeout(self.config.idle_seconds)
            self.connection.sendall(data)
        except OSError:
            raise pdu.ConnectionLost from None
        finally:
            self._is_sending = self._is_waiting = False

    def _send_last(self, data: bytes) -> None:
        """Send a last PDU to a peer that may be gone."""
        with suppress(OSError):
            self.connection.settimeout(_LINGER_S)
            self.connection.sendall(data)

    # --- messages --------------------------------------------------------------------------------------------------

    def _serve_one(self, kind: int, content: memoryview) -> bool:
        """Handle one PDU; False when it ended the association."""
        if kind == pdu.P_DATA_TF:
            for context, is_command, is_last, fragment in pdu.split_data_values(content):
                self._count(fragment)
                if is_command:
                    self._command_fragment(context, fragment, is_last)
                else:
                    self._data_fragment(context, fragment, is_last)
            return True
        if kind == pdu.A_RELEASE_RQ:
            self.storage.close()
            self._send(pdu.encode_release_response())
            return False
        if kind == pdu.A_ABORT:
            self.counts["aborted by peer"] += 1
            return False
        raise pdu.ProtocolViolation(pdu.UNEXPECTED_PDU)

    def _count(self, fragment: memoryview) -> None:
        self._fragments += 1
        self._fragment_bytes += len(fragment)
        if self._fragments > _SMALL_FRAGMENTS + self._fragment_bytes // _FRAGMENT_BYTES:
            raise pdu.ProtocolViolation(pdu.INVALID_PARAMETER)

    def _command_fragment(self, context: int, fragment: memoryview, is_last: bool) -> None:
        if self._incoming is not None or len(self._command) + len(fragment) > _COMMAND_LIMIT:
            raise pdu.ProtocolViolation(pdu.INVALID_PARAMETER)
        if self._command_context not in (None, context):  # one message, one context (PS3.8 Annex E)
            raise pdu.ProtocolViolation(pdu.INVALID_PARAMETER)
        self._command += fragment
        self._command_context = context
        if not is_last:
            return
        self._command_context = None
        try:
            command = dimse.parse_command(bytes(self._command))
        except dimse.InvalidCommand:
            raise pdu.ProtocolViolation(pdu.INVALID_PARAMETER) from None
        self._command.clear()
        if self._told is not None and command.field == dimse.N_EVENT_REPORT_RSP and not command.has_data_set:
            self._finish_report()
            return
        if context not in self._contexts or command.is_response:
            raise pdu.ProtocolViolation(pdu.INVALID_PARAMETER)
        incoming = _Incoming(context, command)
        if command.has_data_set:
            if command.field == dimse.C_STORE_RQ:
                agreed = self._contexts[context]
                incoming.arriving = self.storage.begin(command, agreed.abstract_syntax, agreed.transfer_syntax)
            elif (command.field, self._contexts[context].abstract_syntax) in _WITH_IDENTIFIER:
                incoming.identifier = bytearray()
            self._incoming = incoming
        else:
            self._answer(incoming)

    def _data_fragment(self, context: int, fragment: memoryview, is_last: bool) -> None:
        incoming = self._incoming
        if incoming is None or context != incoming.context:
            raise pdu.ProtocolViolation(pdu.INVALID_PARAMETER)
        if incoming.identifier is not None:
            incoming.identifier += fragment
            if (
                len(incoming.identifier)
                > _WITH_IDENTIFIER[incoming.command.field, self._contexts[context].abstract_syntax]
            ):
                raise pdu.ProtocolViolation(pdu.INVALID_PARAMETER)
        elif incoming.arriving is not None and incoming.arriving.error is None:
            self.storage.write(incoming.arriving, fragment)
        else:
            # Already refused: let the sender finish and get the reason, but drop no more than one object's size.
            incoming.dropped += len(fragment)
            if incoming.dropped > self.config.max_object_mb * 1_000_000:
                raise pdu.ProtocolViolation(pdu.INVALID_PARAMETER)
        if is_last:
            self._incoming = None
            self._answer(incoming)

    # --- answers ---------------------------------------------------------------------------------------------------

    def _answer(self, incoming: _Incoming) -> None:
        self._fragments = self._fragment_bytes = 0  # of the next message
        command = incoming.command
        if command.field == dimse.C_CANCEL_RQ:
            return  # has no response (PS3.7 9.3.2.3), and nothing here can be cancelled
        status, comment, offending = dimse.UNRECOGNIZED_OPERATION, "This box takes C-ECHO and C-STORE only.", None
        if incoming.identifier is not None and command.field == dimse.C_FIND_RQ:
            found = self._find(incoming.context, command, bytes(incoming.identifier))
            status, comment, offending = found.status, found.comment, found.offending
        elif incoming.identifier is not None:
            status, comment = self._commit(incoming.context, command, bytes(incoming.identifier)), ""
        elif command.field == dimse.C_ECHO_RQ:
            status, comment = dimse.SUCCESS, ""
        elif command.field == dimse.C_STORE_RQ:
            status, comment = self.storage.finish(command, incoming.arriving)
        answer = dimse.encode_response(command, status, comment, offending=offending)
        self._send(pdu.encode_data_pdus(incoming.context, answer, self._peer_max_pdu))

    def _commit(self, context: int, command: Command, data: bytes) -> int:
        """The status of a request for storage commitment, or of an archive's answer to ours (PS3.4 J.3)."""
        syntax = self._contexts[context].transfer_syntax
        if command.field == dimse.N_EVENT_REPORT_RQ:
            self.counts["commitments told"] += 1
            return self.commitments.handle_report(data, syntax)
        self.counts["commitments asked"] += 1
        if len(self._owed) >= _MOST_OWED:
            return dimse.RESOURCE_LIMITATION
        status, owed = self.commitments.handle_request(self._caller, context, data, syntax)
        if owed is not None:
            self._owed.append(owed)
        return status

    def _send_report(self, owed: PendingAnswer) -> None:
        """Give an answer of storage commitment on this association (N-EVENT-REPORT, PS3.4 J.3.3)."""
        self._told = owed
        command = dimse.encode_event_report(PUSH_MODEL, WELL_KNOWN_INSTANCE, _REPORT_ID, owed.answer.event_type)
        data_set = self.commitments.encode_answer(owed.answer, self._contexts[owed.context].transfer_syntax)
        whole = pdu.encode_data_pdus(owed.context, command, self._peer_max_pdu)
        self._send(whole + pdu.encode_data_pdus(owed.context, data_set, self._peer_max_pdu, is_command=False))

    def _finish_report(self) -> None:
        """The peer has answered our N-EVENT-REPORT, with whatever status."""
        assert self._told is not None
        self.commitments.settle_answer(self._told, delivered=True)
        self._owed.remove(self._told)
        self._told = None
        self._fragments = self._fragment_bytes = 0

    def _find(self, context: int, command: Command, identifier: bytes) -> WorklistAnswer:
        """Send the worklist's answers; their end follows (PS3.4 K.4.1.1.4)."""
        found = self.worklist.find(self._caller, identifier, self._contexts[context].transfer_syntax)
        pending = dimse.encode_response(command, found.pending, has_data_set=True)
        for data_set in found.data_sets:
            whole = pdu.encode_data_pdus(context, pending, self._peer_max_pdu)
            self._send(whole + pdu.encode_data_pdus(context, data_set, self._peer_max_pdu, is_command=False))
        self.counts["worklist questions"] += 1
        self.counts["patients told"] += len(found.data_sets)
        return found
