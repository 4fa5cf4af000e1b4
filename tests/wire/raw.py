"""A C-STORE client that speaks byte by byte, so that a test can also speak wrongly."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from struct import pack, unpack, unpack_from
from types import TracebackType

from pydicom.uid import UID
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RJ, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import A_ASSOCIATE, ImplementationClassUIDNotification, MaximumLengthNotification
from pynetdicom.presentation import PresentationContext

APPLICATION = "1.2.840.10008.3.1.1.1"
VERIFICATION = "1.2.840.10008.1.1"
RELEASE_RQ = pack(">BxL4x", 5, 4)


@dataclass(frozen=True)
class Answer:
    """A C-STORE (or other) response."""

    status: int
    comment: str
    offending: int | None = None
    """The tag in Offending Element."""


class Refused(Exception):
    """A-ASSOCIATE-RJ, with result, source and reason."""


class Closed(Exception):
    """The gateway closed or aborted."""


def connect_from(address: str, port: int) -> socket.socket:
    """A connection to 127.0.0.1 that comes from *address*, another one of 127.0.0.0/8."""
    return socket.create_connection(("127.0.0.1", port), 20, source_address=(address, 0))


class RawClient:
    """One association.  `contexts` are (abstract syntax, transfer syntaxes); their ids are 1, 3, 5, …"""

    def __init__(
        self,
        port: int,
        contexts: Sequence[tuple[str, Sequence[str]]] = ((VERIFICATION, ("1.2.840.10008.1.2",)),),
        *,
        calling: str = "TEST",
        called: str = "ANY",
        max_pdu: int = 16384,
        connection: socket.socket | None = None,
    ) -> None:
        self.socket = connection or socket.create_connection(("127.0.0.1", port), timeout=20)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.message = 0
        try:
            self.socket.sendall(association_request(contexts, calling, called, max_pdu))
            kind, content = self.read()
        except (Closed, OSError):
            self.socket.close()
            raise
        whole = bytes((kind, 0)) + pack(">L", len(content)) + content
        if kind == 3:
            rejection = A_ASSOCIATE_RJ()
            rejection.decode(whole)
            self.socket.close()
            raise Refused(rejection.result, rejection.source, rejection.reason_diagnostic)
        acceptance = A_ASSOCIATE_AC()
        acceptance.decode(whole)
        self.results = {item.context_id: item.result_reason for item in acceptance.presentation_context}
        self.chosen = {item.context_id: str(item.transfer_syntax) for item in acceptance.presentation_context}

    def __enter__(self) -> RawClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    def read(self) -> tuple[int, bytes]:
        kind, length = unpack(">BxL", self._receive_exactly(6))
        return kind, self._receive_exactly(length)

    def _receive_exactly(self, count: int) -> bytes:
        got = bytearray()
        while len(got) < count:
            try:
                piece = self.socket.recv(count - len(got))
            except ConnectionError:
                piece = b""
            if not piece:
                raise Closed
            got += piece
        return bytes(got)

    def send_fragments(self, context: int, data: bytes, *, command: bool, size: int, last: bool = True) -> None:
        """*data* in P-DATA-TF PDUs whose fragments hold *size* bytes; without `last` the message stays open."""
        for start in range(0, max(1, len(data)), size):
            part = data[start : start + size]
            control = int(command) | (2 if last and start + size >= len(data) else 0)
            self.socket.sendall(pack(">BxLLBB", 4, len(part) + 6, len(part) + 2, context, control) + part)

    def command(self, field: int, sop_class: str, sop_instance: str = "", *, data: bool = False) -> bytes:
        self.message += 1
        elements = [
            (0x0002, _pad_uid(sop_class)),
            (0x0100, pack("<H", field)),
            (0x0110, pack("<H", self.message)),
            (0x0700, pack("<H", 0)),
            (0x0800, pack("<H", 1 if data else 0x0101)),
        ]
        if sop_instance:
            elements.append((0x1000, _pad_uid(sop_instance)))
        body = b"".join(pack("<HHL", 0, number, len(value)) + value for number, value in elements)
        return pack("<HHLL", 0, 0, 4, len(body)) + body

    def begin_store(self, sop_class: str, sop_instance: str, *, context: int = 1, size: int = 16000) -> None:
        self.send_fragments(context, self.command(1, sop_class, sop_instance, data=True), command=True, size=size)

    def store(
        self, sop_class: str, sop_instance: str, data_set: bytes, *, context: int = 1, size: int = 16000
    ) -> Answer:
        self.begin_store(sop_class, sop_instance, context=context, size=size)
        self.send_fragments(context, data_set, command=False, size=size)
        return self.answer()

    def request(self, field: int, sop_class: str, *, context: int = 1) -> Answer:
        self.send_fragments(context, self.command(field, sop_class), command=True, size=16000)
        return self.answer()

    def answer(self) -> Answer:
        """The next response; its fragments may come in any number of PDUs."""
        collected = b""
        while True:
            kind, content = self.read()
            if kind != 4:
                raise Closed(kind)
            collected += content[6:]
            if content[5] & 2:
                return _answer(collected)

    def release(self) -> None:
        self.socket.sendall(RELEASE_RQ)
        assert self.read()[0] == 6
        self.socket.close()

    def request_end(self, ending: str) -> None:
        """End the association in one of three ways, in the middle of whatever was going on."""
        if ending == "abort":
            self.socket.sendall(pack(">BxLxxBB", 7, 4, 0, 0))
        elif ending == "release":
            self.socket.sendall(RELEASE_RQ)
        self.socket.close()


def association_request(
    contexts: Sequence[tuple[str, Sequence[str]]], calling: str = "TEST", called: str = "ANY", max_pdu: int = 16384
) -> bytes:
    length = MaximumLengthNotification()
    length.maximum_length_received = max_pdu
    implementation = ImplementationClassUIDNotification()
    implementation.implementation_class_uid = UID("2.25.1")
    primitive = A_ASSOCIATE()
    primitive.application_context_name = UID(APPLICATION)
    primitive.calling_ae_title, primitive.called_ae_title = calling, called
    primitive.user_information = [length, implementation]
    proposed = []
    for number, (abstract, syntaxes) in enumerate(contexts):
        context = PresentationContext()
        context.context_id, context.abstract_syntax = 2 * number + 1, UID(abstract)
        context.transfer_syntax = [UID(uid) for uid in syntaxes]
        proposed.append(context)
    primitive.presentation_context_definition_list = proposed
    return bytes(A_ASSOCIATE_RQ(primitive).encode())


def _pad_uid(uid: str) -> bytes:
    return uid.encode() + b"\0" * (len(uid) % 2)


def _answer(command: bytes) -> Answer:
    fields, position = {}, 0
    while position < len(command):
        _, number, length = unpack_from("<HHL", command, position)
        fields[number] = command[position + 8 : position + 8 + length]
        position += 8 + length
    comment, offending = fields.get(0x0902, b"").decode("ascii").rstrip(), fields.get(0x0901)
    group, number = unpack("<HH", offending) if offending else (0, 0)
    return Answer(unpack("<H", fields[0x0900])[0], comment, group << 16 | number if offending else None)
