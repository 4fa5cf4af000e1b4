"""Query/Retrieve as user (PS3.4 C), Study Root: C-FIND for the studies of a patient, C-GET for one of them.

C-GET brings the objects on the association that asks for them, so the archive need not know where this box listens, and
each object is checked as it comes.  Every object is written to a file as it arrives, never whole into memory.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydicom import Dataset
from pydicom.uid import UID
from pynetdicom import _config, build_context, evt
from pynetdicom.association import Association

from firmware_app.core.records import is_uid
from firmware_app.dicom.errors import EARLIER_NO_GET, EARLIER_REFUSED, EARLIER_UNANSWERED, PacsError, PacsKindRefused
from firmware_app.dicom.peers import Peer
from firmware_app.dicom.query_keys import CHARSET_TAG, read_raw, read_texts
from firmware_app.dicom.storage_scu import build_contexts, open_association, response_status

FIND: Final = "1.2.840.10008.5.1.4.1.2.2.1"
GET: Final = "1.2.840.10008.5.1.4.1.2.2.3"
MOST_STUDIES: Final = 200
# Logging what is answered would decode it first, and by its declared character set alone.
_config.LOG_RESPONSE_IDENTIFIERS = False
_PENDING: Final = (0xFF00, 0xFF01)
_CANNOT_UNDERSTAND: Final = 0xC000
_WANTED: Final = {
    "date": 0x00080020,
    "modalities": 0x00080061,
    "description": 0x00081030,
    "name": 0x00100010,
    "number": 0x00100020,
    "issuer": 0x00100021,
    "birth_date": 0x00100030,
    "sex": 0x00100040,
    "study_uid": 0x0020000D,
    "images": 0x00201208,
}
KEYS: Final = tuple(_WANTED.values())
"""The attributes asked for at study level; Patient ID is the one that is matched."""


@dataclass(frozen=True, slots=True)
class FoundStudy:
    """A study as an archive describes it, its patient too; empty texts are what it does not say, `images` 0 as well."""

    study_uid: str
    date: str
    modalities: str
    description: str
    images: int
    name: str
    number: str
    issuer: str
    birth_date: str
    sex: str


@dataclass(frozen=True, slots=True)
class FetchResult:
    """How many objects of a study came and were taken, and how many did not."""

    taken: int
    failed: int


def find_studies(peer: Peer, number: str) -> list[FoundStudy]:
    """The studies that *peer* has under this patient's number, at most `MOST_STUDIES`.

    Raises `EARLIER_UNANSWERED` or `EARLIER_REFUSED`.
    """
    asked = Dataset()
    asked.SpecificCharacterSet = "ISO_IR 192"
    asked.QueryRetrieveLevel = "STUDY"
    for tag in KEYS:
        asked.add_new(tag, _vr(tag), None)
    asked.PatientID = number
    found = []
    with _translate_errors(peer), open_association(peer, build_contexts([FIND])) as association:
        for answer, identifier in association.send_c_find(asked, UID(FIND)):
            status = response_status(answer)
            if status is None:
                raise EARLIER_UNANSWERED(pacs=peer.title, detail="pacs.aborted")
            if status not in _PENDING:
                if status != 0:
                    raise EARLIER_REFUSED(pacs=peer.title, status=f"{status:04X}H")
                break
            if identifier is not None and (one := _read_study(identifier)) is not None:
                found.append(one)
            if len(found) >= MOST_STUDIES:
                association.abort()
                break
    return found


def fetch_study(
    peer: Peer,
    study_uid: str,
    classes: Collection[str],
    syntaxes: Collection[str],
    most_bytes: int,
    take: Callable[[Path], int],
) -> FetchResult:
    """Have *peer* send every object of a study whose class is among *classes*, in one of *syntaxes*.

    *take* gets each as a file, which is removed afterwards, and returns the status of its C-STORE.  An object of more
    than *most_bytes* ends the association.  Raises `EARLIER_UNANSWERED`, `EARLIER_REFUSED` or `EARLIER_NO_GET`.
    """
    _config.STORE_RECV_CHUNKED_DATASET = True
    arrived, taken = [0], [0]

    def on_data(event: evt.Event) -> None:
        arrived[0] += len(event.data)
        if arrived[0] > most_bytes:
            event.assoc.abort()

    def on_store(event: evt.Event) -> int:
        arrived[0] = 0
        path = event.dataset_path
        try:
            status = take(path)
        finally:
            with suppress(OSError):
                path.unlink()
        taken[0] += status == 0
        return status

    asked = Dataset()
    asked.QueryRetrieveLevel = "STUDY"
    asked.StudyInstanceUID = study_uid
    proposed = [*build_contexts([GET]), *(build_context(UID(class_), list(syntaxes)) for class_ in classes)]
    handlers = [(evt.EVT_C_STORE, on_store), (evt.EVT_DATA_RECV, on_data)]
    with _translate_errors(peer), open_association(peer, proposed, classes, handlers) as association:
        if not any(str(context.abstract_syntax) == GET for context in association.accepted_contexts):
            raise EARLIER_NO_GET(pacs=peer.title)
        failed = _failures(peer, association, asked)
    return FetchResult(taken[0], failed)


def _failures(peer: Peer, association: Association, asked: Dataset) -> int:
    """Run the C-GET; how many sub-operations the archive counts as failed."""
    failed = 0
    for answer, _ in association.send_c_get(asked, UID(GET)):
        status = response_status(answer)
        if status is None:
            raise EARLIER_UNANSWERED(pacs=peer.title, detail="pacs.aborted")
        failed = int(answer.get("NumberOfFailedSuboperations") or 0)
        if status >> 12 in (0xA, 0xC) or status in (0x0122, 0x0124):
            raise EARLIER_REFUSED(pacs=peer.title, status=f"{status:04X}H")
    return failed


@contextmanager
def _translate_errors(peer: Peer) -> Iterator[None]:
    """Turn what keeps an association from being had into what a person is told who searches."""
    try:
        yield
    except PacsKindRefused:
        raise EARLIER_REFUSED(pacs=peer.title, status="0122H") from None
    except PacsError as error:
        raise EARLIER_UNANSWERED(pacs=peer.title, detail=error.code) from None
    except (RuntimeError, ValueError):  # pynetdicom: the association is gone, or has no context for it
        raise EARLIER_UNANSWERED(pacs=peer.title, detail="pacs.aborted") from None


def _read_study(identifier: Dataset) -> FoundStudy | None:
    said = read_texts(identifier, read_raw(identifier, CHARSET_TAG))
    values: dict[str, Any] = {key: said.get(tag, "") for key, tag in _WANTED.items()}
    number = values["images"]
    values["images"] = int(number) if number.isascii() and number.isdigit() and len(number) < 8 else 0
    return FoundStudy(**values) if is_uid(values["study_uid"]) else None


def _vr(tag: int) -> str:
    from pydicom.datadict import dictionary_VR

    return dictionary_VR(tag)


def receive_into(folder: Path) -> None:
    """Have objects written into *folder* while they come."""
    tempfile.tempdir = os.fspath(folder)
