"""The gateway process: the DICOM port and the watched folder.  It reads headers and never renders an image."""

from __future__ import annotations

import resource
import sys
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from firmware_app.cases import audit
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cases.registrations import Registrations
from firmware_app.core import notify, process
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir
from firmware_app.dicom.peers import list_ae_titles
from firmware_app.ingest.connection_test import ConnectionTests
from firmware_app.ingest.intake import ImageIntake
from firmware_app.ingest.watched_folder import WatchedFolder
from firmware_app.results.offered_results import OfferedResults
from firmware_app.results.storage_commitment import StorageCommitments

if TYPE_CHECKING:
    from firmware_app.dicom.dicomweb_server import DicomwebServer
    from firmware_app.dicom.scp.association_server import AssociationServer
    from firmware_app.dicom.wado_rs import ResultPages
    from firmware_app.ingest.archive_search import ArchiveSearch

Facts = Mapping[str, str | int | None]
_DESCRIPTORS: Final = 4096

# On import, pydicom loads every installed decoder, and tqdm for downloads.  The process that faces the network must not
# have them; without them it also starts 0.3 s sooner and is 34 MB smaller.
_DECODERS: Final = ("numpy", "PIL", "gdcm", "_gdcm", "openjpeg", "jpeg_ls", "pylibjpeg", "pyjpegls", "tqdm")


def run(config: Config, ready: Callable[[Facts], None], stop: threading.Event) -> None:
    """Body of the gateway process: serve until *stop* is set.  *ready* is called with the actual port.

    Raises what `DicomPort` raises.  To be called only in a process of its own, see `_block_decoders`.
    """
    _raise_descriptor_limit()
    _block_decoders()
    with process.without_garbage_collection():
        import firmware_app.dicom.scp.association_server  # noqa: F401 - the collector is off while it loads

    state = StateDir(config.state.dir)
    state.prepare()
    clinical = ClinicalDatabase(state.clinical_db)
    clinical.require()
    door = ImageIntake(state, clinical, config.retention.high_water_free_mb, config.dicom.max_object_mb)
    port = make_dicom_server(config, door)
    number = port.start(on_end=stop.set)
    notify.depend_on(port.is_listening)
    folder = WatchedFolder(config.folder.path, door) if config.folder.path else None
    if folder is not None:
        folder.start()
    web = _start_dicomweb(config, door) if config.dicomweb.enabled else None
    search = _start_search(config, door) if config.pacs.searchable_archives else None
    lines = ConnectionTests(config, clinical.database)
    lines.start()
    ready({"port": number, "host": config.dicom.host, "ae_title": config.dicom.ae_title})
    try:
        stop.wait()
    finally:
        port.stop()
        for other in (folder, web, search, lines):
            if other is not None:
                other.stop()
        clinical.database.close()


def make_dicom_server(config: Config, door: ImageIntake) -> AssociationServer:
    """The DICOM port over *door*, with the commitments and the worklist of its clinical database."""
    from firmware_app.dicom.scp.association_server import AssociationServer

    database = door.clinical.database
    return AssociationServer(
        config, door, StorageCommitments(database, list_ae_titles(config)), Registrations(database).list_waiting
    )


def make_dicomweb_server(config: Config, door: ImageIntake) -> DicomwebServer:
    """DICOMweb over *door*; results are given out where `[dicomweb] results` says so."""
    from firmware_app.dicom.dicomweb_server import DicomwebServer
    from firmware_app.dicom.wado_rs import ResultPages

    def record_fetch(client: str, case: str) -> None:
        with door.clinical.database.transaction() as connection:
            audit.append(connection, "dicomweb", "results.fetched", case, {"client": client})

    def results(client: Callable[[], str]) -> ResultPages:
        return ResultPages(door.state.results, OfferedResults(door.clinical.database), record_fetch, client)

    return DicomwebServer(config, door, results if config.dicomweb.serves_results else None)


def _start_dicomweb(config: Config, door: ImageIntake) -> DicomwebServer:
    """DICOMweb's listener, started; only a box that offers it loads Flask here."""
    listener = make_dicomweb_server(config, door)
    listener.start()
    notify.depend_on(listener.alive)
    return listener


def _start_search(config: Config, door: ImageIntake) -> ArchiveSearch:
    """The search for earlier studies, started; only a box that may search an archive loads pynetdicom's user here."""
    from firmware_app.ingest.archive_search import ArchiveSearch

    search = ArchiveSearch(config, door)
    search.start()
    return search


def _block_decoders() -> None:
    """Make importing a decoder fail in this process, for pydicom and any other module (None in `sys.modules`)."""
    for name in _DECODERS:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]


def _raise_descriptor_limit() -> None:
    """Raise the limit of file descriptors for silent connections, as far as the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(_DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
