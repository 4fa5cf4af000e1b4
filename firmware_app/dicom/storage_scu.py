"""One association to an archive, by pynetdicom: verification, storage, and the request for commitment.

Every way in which an archive can fail is a `PacsError`.  One of an object (`PacsKindRefused`, `PacsObjectRefused`)
leaves the association as it is; after any other it is over.  Nothing here opens an image.
"""

from __future__ import annotations

import logging
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, build_context, build_role, evt
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext

from firmware_app.dicom import commitment, file_meta, sop_classes
from firmware_app.dicom.commitment import CommitmentAnswer, InvalidCommitment, ObjectReference
from firmware_app.dicom.errors import (
    PACS_ABORTED,
    PACS_TLS,
    PacsBusy,
    PacsCalledUnknown,
    PacsCallingUnknown,
    PacsError,
    PacsFull,
    PacsKindRefused,
    PacsNoEcho,
    PacsObjectRefused,
    PacsRejected,
    PacsUnreachable,
)
from firmware_app.dicom.peers import Peer

# pynetdicom and pydicom log what they encode: UIDs, titles, sometimes names.  None of that belongs in our log.
for _loud in ("pynetdicom", "pydicom"):
    logging.getLogger(_loud).setLevel(logging.CRITICAL + 1)

ASSOCIATE_S: Final = 30.0
ANSWER_S: Final = 120.0
_SEND_S: Final = 60
SYNTAXES: Final = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
_SUCCESS: Final = 0x0000
_STORED_ALREADY: Final = 0x0111  # PS3.7 C.4.2: duplicate SOP Instance; ours are the same bytes under the same UID
_CLASS_UNKNOWN: Final = 0x0122
_PROCESSING_FAILURE: Final = 0x0110


class StorageStatus(StrEnum):
    """What the status of a C-STORE says to the box."""

    STORED = "stored"
    FULL = "the archive is full: everything for it waits"
    KIND_REFUSED = "this kind of object is refused: it waits, the others go on"
    REFUSED = "this object is refused: it waits, the others go on"


def classify_status(status: int) -> StorageStatus:
    """What *status* says (PS3.4 B.2.3)."""
    if status in (_SUCCESS, _STORED_ALREADY) or status >> 12 == 0xB:
        return StorageStatus.STORED
    if status >> 8 == 0xA7:
        return StorageStatus.FULL
    return StorageStatus.KIND_REFUSED if status == _CLASS_UNKNOWN else StorageStatus.REFUSED


ReportHandler = Callable[[CommitmentAnswer], bool]
"""What takes an answer that comes on this association; False when nothing was asked under its Transaction UID."""


class ArchiveAssociation:
    """An open association; to be had from `dial_archive`."""

    def __init__(self, peer: Peer, association: Association) -> None:
        self._peer, self._association = peer, association
        self._agreed = {str(context.abstract_syntax) for context in association.accepted_contexts}
        self.answered = threading.Event()

    @property
    def commits(self) -> bool:
        """Whether the archive offers Storage Commitment."""
        return commitment.PUSH_MODEL in self._agreed

    def echo(self) -> None:
        """C-ECHO (PS3.4 A); raises `PacsNoEcho`."""
        if sop_classes.VERIFICATION not in self._agreed or response_status(self._association.send_c_echo()) != _SUCCESS:
            raise PacsNoEcho(pacs=self._peer.title)

    def store(self, path: Path, kind: str) -> None:
        """C-STORE the object at *path* (PS3.4 B); on return the archive has answered with success or a warning.

        Raises a `PacsError`, and `OSError` where the file cannot be read.
        """
        data_set = dcmread(path)
        if str(data_set.SOPClassUID) not in self._agreed:
            raise self._make_kind_refusal(data_set, kind)
        try:
            status = response_status(self._association.send_c_store(data_set))
        except (RuntimeError, ValueError):  # the association is gone, or has no context for this transfer syntax
            status = None
        if status is None:
            raise PACS_ABORTED(pacs=self._peer.title)
        match classify_status(status):
            case StorageStatus.STORED:
                return
            case StorageStatus.FULL:
                raise PacsFull(pacs=self._peer.title, status=f"{status:04X}H")
            case StorageStatus.KIND_REFUSED:
                raise self._make_kind_refusal(data_set, kind)
            case StorageStatus.REFUSED:
                raise PacsObjectRefused(pacs=self._peer.title, status=f"{status:04X}H")

    def request_commitment(self, transaction_uid: str, objects: Iterable[ObjectReference]) -> bool:
        """Ask for commitment (N-ACTION, PS3.4 J.3.2); whether the archive took the request."""
        try:
            status, _ = self._association.send_n_action(
                commitment.build_request(transaction_uid, objects),
                commitment.REQUEST,
                UID(commitment.PUSH_MODEL),
                UID(commitment.WELL_KNOWN_INSTANCE),
            )
        except (RuntimeError, ValueError):
            return False
        return response_status(status) == _SUCCESS

    def report_commitment(self, said: CommitmentAnswer) -> bool:
        """Give the peer our own answer (N-EVENT-REPORT, PS3.4 J.3.3); whether it took it."""
        try:
            status, _ = self._association.send_n_event_report(
                commitment.build_answer(said),
                said.event_type,
                UID(commitment.PUSH_MODEL),
                UID(commitment.WELL_KNOWN_INSTANCE),
            )
        except (RuntimeError, ValueError):
            return False
        return response_status(status) is not None

    def _make_kind_refusal(self, data_set: Dataset, kind: str) -> PacsKindRefused:
        return PacsKindRefused(pacs=self._peer.title, sop_class=data_set.SOPClassUID.name, kind=kind)


@contextmanager
def dial_archive(
    peer: Peer,
    classes: Collection[str],
    *,
    reported: ReportHandler | None = None,
    as_scp: bool = False,
    patience_s: float = ASSOCIATE_S,
    answer_s: float = ANSWER_S,
) -> Iterator[ArchiveAssociation]:
    """An association to *peer* with a presentation context for each of *classes*; released at the end of the block.

    *reported* takes answers of Storage Commitment.  *as_scp*: this box answers as its provider (PS3.7 D.3.3.4).
    *patience_s* is how long the archive may take to answer the request, *answer_s* for each answer after it.  Raises a
    `PacsError` when there is none.
    """
    holder: list[ArchiveAssociation] = []

    def on_report(event: evt.Event) -> tuple[int, None]:
        request: Any = event.request
        try:
            said = commitment.parse_commitment(
                request.EventInformation.getvalue(), explicit=not event.context.transfer_syntax.is_implicit_VR
            )
        except (InvalidCommitment, AttributeError):
            return _PROCESSING_FAILURE, None
        taken = reported is not None and reported(said)
        for archive_association in holder:
            archive_association.answered.set()
        return (_SUCCESS if taken else _PROCESSING_FAILURE), None

    roles = classes if as_scp else ()
    with open_association(
        peer, build_contexts(classes), roles, [(evt.EVT_N_EVENT_REPORT, on_report)], patience_s
    ) as association:
        association.dimse_timeout = answer_s
        connection = ArchiveAssociation(peer, association)
        holder.append(connection)
        yield connection


@contextmanager
def open_association(
    peer: Peer,
    proposed: list[PresentationContext],
    as_scp: Collection[str] = (),
    handlers: Iterable[Any] = (),
    patience_s: float = ASSOCIATE_S,
) -> Iterator[Association]:
    """An association to *peer* that has accepted some of *proposed*; released at the end of the block.

    *as_scp*: the SOP classes of which this box is the provider (PS3.7 D.3.3.4).  Raises a `PacsError` when there is
    none.
    """
    association = _associate(peer, proposed, as_scp, [(evt.EVT_CONN_OPEN, _disable_nagle), *handlers], patience_s)
    try:
        yield association
    finally:
        if association.is_established:
            association.release()
        else:
            association.kill()


def _associate(
    peer: Peer, proposed: list[PresentationContext], as_scp: Collection[str], handlers: list[Any], patience_s: float
) -> Association:
    own = AE(peer.own_title)
    own.implementation_class_uid = UID(file_meta.IMPLEMENTATION_CLASS_UID)
    own.implementation_version_name = file_meta.IMPLEMENTATION_VERSION_NAME
    own.connection_timeout = own.acse_timeout = patience_s
    own.dimse_timeout = own.network_timeout = ANSWER_S
    tls = peer.tls()
    host, port = peer.settings.host, peer.settings.port
    roles = [build_role(UID(one), scp_role=True) for one in as_scp]
    association = own.associate(
        _address(peer),
        port,
        contexts=proposed,
        ae_title=peer.title,
        ext_neg=list(roles),
        evt_handlers=handlers,
        tls_args=(tls, host) if tls is not None else None,
    )
    if association.is_established:
        return association
    if association.is_rejected:
        raise _rejection(peer, association)
    if association.rejected_contexts and not association.accepted_contexts:
        name = proposed[0].abstract_syntax.name if proposed[0].abstract_syntax else ""
        raise PacsKindRefused(pacs=peer.title, sop_class=name, kind="")
    raise _explain_no_answer(peer, tls, patience_s)


def build_contexts(classes: Collection[str]) -> list[PresentationContext]:
    """One context for each class and transfer syntax, so that the archive can accept each by itself."""
    return [build_context(UID(class_), syntax) for class_ in classes for syntax in SYNTAXES]


def _address(peer: Peer) -> str:
    try:
        found = socket.getaddrinfo(peer.settings.host, peer.settings.port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise _unreachable(peer, error) from None
    return str(found[0][4][0])


def _rejection(peer: Peer, association: Association) -> PacsError:
    """What an A-ASSOCIATE-RJ means (PS3.8 Table 9-21)."""
    said: Any = association.acceptor.primitive
    numbers = (said.result, said.result_source, said.diagnostic)
    if numbers[1:] == (1, 3):
        return PacsCallingUnknown(pacs=peer.title, own=peer.own_title)
    if numbers[1:] == (1, 7):
        return PacsCalledUnknown(pacs=peer.title, host=peer.settings.host, port=peer.settings.port)
    if numbers[0] == 2 or numbers[1] == 3:
        return PacsBusy(pacs=peer.title)
    return PacsRejected(pacs=peer.title, numbers="/".join(map(str, numbers)))


def _explain_no_answer(peer: Peer, tls: ssl.SSLContext | None, patience_s: float) -> PacsError:
    """Why there was no answer: pynetdicom does not say, so it is tried again by hand."""
    try:
        with socket.create_connection((peer.settings.host, peer.settings.port), patience_s) as tried:
            if tls is not None:
                with tls.wrap_socket(tried, server_hostname=peer.settings.host):
                    pass
    except ssl.SSLError as error:
        return PACS_TLS(pacs=peer.title, detail=getattr(error, "verify_message", "") or error.reason or str(error))
    except OSError as error:
        return _unreachable(peer, error)
    return PACS_ABORTED(pacs=peer.title)


def _unreachable(peer: Peer, error: OSError) -> PacsUnreachable:
    detail = error.strerror or str(error)
    return PacsUnreachable(pacs=peer.title, host=peer.settings.host, port=peer.settings.port, detail=detail)


def _disable_nagle(event: evt.Event) -> None:
    """Without Nagle's algorithm, which costs 40 ms an object; an archive that reads nothing ends the association."""
    association: Any = event.assoc
    connected = association.dul.socket.socket
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", _SEND_S, 0))


def response_status(answer: Dataset) -> int | None:
    """The status of a response; None when none came."""
    return int(answer.Status) if "Status" in answer else None
