"""Association negotiation (PS3.8 7.1, PS3.7 D): a request is decoded, judged by this box's rules, and answered.

Any called AE title is admitted: it protects nothing, and a technician who mistypes it on the modality should still be
able to send.  `allowed_calling` and `allowed_addresses` decide who is admitted.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from pydicom.config import IGNORE
from pydicom.uid import UID
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RJ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    ImplementationVersionNameNotification,
    MaximumLengthNotification,
    SCP_SCU_RoleSelectionNegotiation,
)
from pynetdicom.presentation import PresentationContext
from pynetdicom.sop_class import _STORAGE_CLASSES

from firmware_app.core.settings import DicomSection, WorklistSection
from firmware_app.dicom import association_log, file_meta, sop_classes, transfer_syntax
from firmware_app.dicom.commitment import PUSH_MODEL
from firmware_app.dicom.scp.worklist_scp import MODALITY_WORKLIST, SYNTAXES

APPLICATION_CONTEXT: Final = "1.2.840.10008.3.1.1.1"
STORAGE: Final = frozenset((*_STORAGE_CLASSES.values(), *sop_classes.RETIRED.values()))
_VERIFICATION_SYNTAXES: Final = frozenset(
    (transfer_syntax.IMPLICIT_LITTLE, transfer_syntax.EXPLICIT_LITTLE, transfer_syntax.EXPLICIT_BIG)
)

# The items of an A-ASSOCIATE-RQ (PS3.8 9.3.2), each with a type, a reserved byte and a length of two
_ITEM: Final = struct.Struct(">BxH")
_FIXED_BYTES: Final = 68  # protocol version, the two titles and what is reserved
_APPLICATION_ITEM, _CONTEXT_ITEM, _ABSTRACT_ITEM, _TRANSFER_ITEM, _USER_ITEM = 0x10, 0x20, 0x30, 0x40, 0x50
_MAX_LENGTH_ITEM, _ROLE_ITEM = 0x51, 0x54

_ACCEPTED, _CLASS_REFUSED, _SYNTAXES_REFUSED = 0, 3, 4  # PS3.8 Table 9-18

# What pynetdicom may raise when it encodes an answer with arbitrary values; each of them leads to a refusal.
_UNDECODABLE = (
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    AssertionError,
    NotImplementedError,
    OverflowError,
    RecursionError,
    struct.error,
    UserWarning,
)


class InvalidRequest(ValueError):
    """The bytes are not an A-ASSOCIATE-RQ."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """The three numbers of an A-ASSOCIATE-RJ (PS3.8 Table 9-21), and why, for the log."""

    result: int
    source: int
    diagnostic: int
    why: str

    def encode(self) -> bytes:
        pdu = A_ASSOCIATE_RJ()
        pdu.result, pdu.source, pdu.reason_diagnostic = self.result, self.source, self.diagnostic
        return bytes(pdu.encode())


NO_SLOT: Final = Rejection(2, 3, 2, association_log.LIMIT)
_BAD_APPLICATION: Final = Rejection(1, 1, 2, association_log.APPLICATION)
_UNKNOWN_CALLER: Final = Rejection(1, 1, 3, association_log.TITLE)
_UNKNOWN_ADDRESS: Final = Rejection(1, 1, 1, association_log.ADDRESS)


@dataclass(frozen=True, slots=True)
class AcceptedContext:
    """An accepted presentation context."""

    abstract_syntax: str
    transfer_syntax: str


@dataclass(frozen=True, slots=True)
class AssociationRequest:
    """The fields of an association request that the box needs."""

    calling_ae: str
    called_ae: str
    application_context: str
    max_pdu: int
    proposed: tuple[tuple[int, str, tuple[str, ...]], ...]
    roles: tuple[tuple[str, bool, bool], ...] = ()
    """SOP Class UID, and whether the requestor proposes to be its user and its provider (PS3.7 D.3.3.4)."""


@dataclass(slots=True)
class Acceptance:
    """The accepted presentation contexts by id, and the encoded A-ASSOCIATE-AC."""

    contexts: dict[int, AcceptedContext] = field(default_factory=dict)
    encoded: bytes = b""

    def find_refused_services(
        self, request: AssociationRequest, config: WorklistSection
    ) -> tuple[str, tuple[str, ...]] | None:
        """Which kinds of image or services of *request* are refused: the reason and their names; None if it can send.

        A service that is refused beside accepted image classes (a query) does not count, but for the worklist where
        the clinic has one: *config* then lacks this machine.
        """
        agreed = {context.abstract_syntax for context in self.contexts.values()}
        refused = dict.fromkeys(abstract for _, abstract, _ in request.proposed if abstract not in agreed)
        if MODALITY_WORKLIST in refused and config.stations:
            return association_log.WORKLIST, ()
        kinds = tuple(_name(abstract) for abstract in refused if abstract in STORAGE)
        if kinds:
            return association_log.SYNTAXES, kinds
        services = tuple(_name(abstract) for abstract in refused)
        return (association_log.SERVICES, services) if services and not agreed else None


def decode_request(content: bytes) -> AssociationRequest:
    """Decode an A-ASSOCIATE-RQ without its six header bytes (PS3.8 9.3.2); raises `InvalidRequest`.

    pynetdicom takes 0.1 s of CPU time for 128 contexts with 36 transfer syntaxes each, so a few dozen such requests at
    once would keep all other peers waiting for seconds.
    """
    if len(content) < _FIXED_BYTES:
        raise InvalidRequest
    application_context, max_pdu = "", 0
    roles: list[tuple[str, bool, bool]] = []
    proposed: list[tuple[int, str, tuple[str, ...]]] = []
    for kind, value in _items(content, _FIXED_BYTES):
        if kind == _APPLICATION_ITEM:
            application_context = _uid(value)
        elif kind == _CONTEXT_ITEM:
            proposed.append(_proposal(value))
        elif kind == _USER_ITEM:
            max_pdu = next((_length(inner) for kind, inner in _items(value) if kind == _MAX_LENGTH_ITEM), 0)
            roles += [_role(inner) for kind, inner in _items(value) if kind == _ROLE_ITEM]
    if len({identifier for identifier, _, _ in proposed}) != len(proposed):  # also: no more than 128 of them
        raise InvalidRequest
    called, calling = _title(content[4:20]), _title(content[20:36])
    return AssociationRequest(
        calling_ae=calling,
        called_ae=called,
        application_context=application_context,
        max_pdu=max_pdu,
        proposed=tuple(proposed),
        roles=tuple(roles),
    )


def _items(content: bytes, position: int = 0) -> Iterator[tuple[int, bytes]]:
    """The type and value of each item in *content* from *position* on."""
    while position < len(content):
        if position + _ITEM.size > len(content):
            raise InvalidRequest
        kind, length = _ITEM.unpack_from(content, position)
        position += _ITEM.size
        if position + length > len(content):
            raise InvalidRequest
        yield kind, content[position : position + length]
        position += length


def _proposal(value: bytes) -> tuple[int, str, tuple[str, ...]]:
    if len(value) < _ITEM.size:
        raise InvalidRequest
    abstract, transfer = "", []
    for kind, uid in _items(value, _ITEM.size):
        if kind == _ABSTRACT_ITEM:
            abstract = _uid(uid)
        elif kind == _TRANSFER_ITEM:
            transfer.append(_uid(uid))
    return value[0], abstract, tuple(transfer)


def _role(value: bytes) -> tuple[str, bool, bool]:
    """An SCP/SCU Role Selection sub-item (PS3.7 Table D.3-9)."""
    if len(value) < 4 or len(value) != int.from_bytes(value[:2], "big") + 4:
        raise InvalidRequest
    return _uid(value[2:-2]), bool(value[-2]), bool(value[-1])


def _length(value: bytes) -> int:
    if len(value) != 4:
        raise InvalidRequest
    return int.from_bytes(value, "big")


def _uid(value: bytes) -> str:
    return value.rstrip(b"\0 ").decode("ascii", "replace")


def _title(value: bytes) -> str:
    try:
        return value.decode("ascii").strip(" \0")
    except UnicodeDecodeError:
        raise InvalidRequest from None


def find_rejection(request: AssociationRequest, address: str, config: DicomSection) -> Rejection | None:
    """The reason to reject *request* from *address*, or None."""
    if request.application_context != APPLICATION_CONTEXT:
        return _BAD_APPLICATION
    if not association_log.admits_title(request.calling_ae, config):
        return _UNKNOWN_CALLER
    return None if association_log.admits_address(address, config) else _UNKNOWN_ADDRESS


def accept_request(request: AssociationRequest, max_pdu: int, worklist: WorklistSection) -> Acceptance:
    """Accept every context of storage, storage commitment and verification with its first proposed transfer syntax
    that the box supports.

    The worklist is only for the machines that *worklist* names: it holds names, and any machine may send images.

    The requestor's order is followed: it names the image's own syntax first, and an image that is not transcoded
    arrives unchanged.  Raises `InvalidRequest` when no answer can be encoded, as for an even context id.
    """
    try:
        return _accept_request(request, max_pdu, worklist)
    except _UNDECODABLE:
        raise InvalidRequest from None


def _accept_request(request: AssociationRequest, max_pdu: int, worklist: WorklistSection) -> Acceptance:
    agreement = Acceptance()
    offered = STORAGE | {sop_classes.VERIFICATION, PUSH_MODEL}
    if request.calling_ae in worklist.stations:
        offered |= {MODALITY_WORKLIST}
    results = []
    for identifier, abstract, syntaxes in request.proposed:
        chosen = next((uid for uid in syntaxes if _takes(abstract, uid)), None)
        result = PresentationContext()
        result.context_id = identifier
        result.transfer_syntax = [UID(chosen or transfer_syntax.IMPLICIT_LITTLE)]
        if abstract not in offered:
            result.result = _CLASS_REFUSED
        elif chosen is None:
            result.result = _SYNTAXES_REFUSED
        else:
            result.result = _ACCEPTED
            agreement.contexts[identifier] = AcceptedContext(abstract, chosen)
        results.append(result)
    agreement.encoded = _encode_acceptance(request, results, max_pdu)
    return agreement


def _name(uid: str) -> str:
    """The standard's name for *uid*; an unknown one, which may be any text, is returned unchanged."""
    return UID(uid, validation_mode=IGNORE).name


def _takes(abstract: str, syntax: str) -> bool:
    if abstract == sop_classes.VERIFICATION:
        return syntax in _VERIFICATION_SYNTAXES
    if abstract in (MODALITY_WORKLIST, PUSH_MODEL):
        return syntax in SYNTAXES
    return abstract in STORAGE and syntax in transfer_syntax.ACCEPTED_SYNTAXES


def _roles(request: AssociationRequest) -> Iterator[SCP_SCU_RoleSelectionNegotiation]:
    """The box is both user and provider of Storage Commitment, so it accepts whatever is proposed of that."""
    for uid, as_user, as_provider in dict.fromkeys(request.roles):
        if uid == PUSH_MODEL:
            item = SCP_SCU_RoleSelectionNegotiation()
            item.sop_class_uid, item.scu_role, item.scp_role = UID(uid), as_user, as_provider
            yield item


def _encode_acceptance(request: AssociationRequest, results: list[PresentationContext], max_pdu: int) -> bytes:
    """Asynchronous operations are not answered, so the default holds (PS3.7 D.3.3.3); nor are roles, but for an
    archive that wants to be the provider of Storage Commitment when it brings its answer (PS3.7 D.3.3.4)."""
    length = MaximumLengthNotification()
    length.maximum_length_received = max_pdu
    made_by = ImplementationClassUIDNotification()
    made_by.implementation_class_uid = UID(file_meta.IMPLEMENTATION_CLASS_UID)
    version = ImplementationVersionNameNotification()
    version.implementation_version_name = file_meta.IMPLEMENTATION_VERSION_NAME
    primitive = A_ASSOCIATE()
    primitive.application_context_name = UID(APPLICATION_CONTEXT)
    primitive.calling_ae_title, primitive.called_ae_title = request.calling_ae, request.called_ae
    primitive.result, primitive.result_source = 0, 1
    primitive.presentation_context_definition_results_list = results
    primitive.user_information = [length, made_by, version, *_roles(request)]
    return bytes(A_ASSOCIATE_AC(primitive).encode())
