"""A plain folder, signed with TUF metadata, that a USB stick and a web server serve alike: of packs or of software.

A box starts from timestamp.json. So a publication writes the files, then targets, then snapshot, each under a new name,
and replaces timestamp.json last. An interrupted publication leaves the folder as it was.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

from pydantic import BaseModel, ValidationError
from securesystemslib.signer import CryptoSigner
from tuf.api.exceptions import LengthOrHashMismatchError, RepositoryError
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp

from converters.failures import OutputUnwritable, RepositoryUnusable
from converters.publishing import tuf_keys
from converters.workflow.atomic import writing
from firmware_app.packs.offers import INDEX_FILE, METADATA_FOLDER, TARGETS_FOLDER

DAYS: Final = 400
TIMESTAMP: Final = "timestamp.json"
IndexModel = TypeVar("IndexModel", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class State(Generic[IndexModel]):
    """What a repository says: its publisher, how many publications it has seen, until when it is valid, what it offers.

    Targets, snapshot and timestamp all carry the publication's number as their version.
    """

    root: Metadata[Root]
    number: int
    expires: datetime
    index: IndexModel


@dataclass(frozen=True, slots=True)
class Publication(Generic[IndexModel]):
    """One publication, under an exclusive lock."""

    folder: Path
    state: State[IndexModel]
    signers: dict[str, CryptoSigner]

    def put(self, source: Path, target: str, digest: str) -> None:
        """Copy the file that *target* names."""
        path = self.folder / TARGETS_FOLDER / _hash_file(target, digest)
        with writing(path) as part:
            shutil.copyfile(source, part)
        _sync(path.parent)

    def sign(self, index: IndexModel, targets: Mapping[str, TargetFile], days: int) -> State[IndexModel]:
        """Offer *index*, whose files *targets* are: write what is new beside what is in use, then the timestamp."""
        folder, state, expires = self.folder, self.state, _expiry(days)
        metadata = folder / METADATA_FOLDER
        content = index.model_dump_json(by_alias=True, indent=1).encode() + b"\n"
        entry = TargetFile.from_data(INDEX_FILE, content, ["sha256"])
        _write(folder / TARGETS_FOLDER / _hash_file(INDEX_FILE, entry.hashes["sha256"]), content)
        number = state.number + 1
        data = _sign(Targets(number, expires=expires, targets={INDEX_FILE: entry, **targets}), self.signers["targets"])
        _write(metadata / f"{number}.targets.json", data)
        snapshot = Snapshot(
            number, expires=expires, meta={"targets.json": MetaFile.from_data(number, data, ["sha256"])}
        )
        data = _sign(snapshot, self.signers["snapshot"])
        _write(metadata / f"{number}.snapshot.json", data)
        timestamp = Timestamp(number, expires=expires, snapshot_meta=MetaFile.from_data(number, data, ["sha256"]))
        _write(metadata / f"{state.root.signed.version}.root.json", state.root.to_bytes())
        for kept in (folder / TARGETS_FOLDER, metadata, folder):
            _sync(kept)
        _write(metadata / TIMESTAMP, _sign(timestamp, self.signers["timestamp"]))
        _sync(metadata)
        return State(state.root, number, expires, index)


@contextmanager
def publication(
    folder: Path, empty: IndexModel, keys: Path, passphrase: bytes | None
) -> Iterator[Publication[IndexModel]]:
    """Publish into ``folder``, which is as it was when the block ends badly.

    Raises a :class:`~converters.failures.ConverterError`.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder):
            state = read(folder, keys, empty)
            yield Publication(folder, state, tuf_keys.signers(keys, state.root, passphrase))
    except OSError as error:
        raise OutputUnwritable(str(folder), error.strerror or str(error)) from error


def read(folder: Path, keys: Path, empty: IndexModel) -> State[IndexModel]:
    """The state that ``folder``'s timestamp names, every signature and digest checked; a new one where there is none.

    Raises :class:`~converters.failures.RepositoryUnusable` or :class:`~converters.failures.PublisherKeysUnusable`.
    """
    metadata = folder / METADATA_FOLDER
    if not (metadata / TIMESTAMP).is_file():
        return State(tuf_keys.root_of(keys / tuf_keys.ROOT_FILE), 0, _expiry(0), empty)
    root = tuf_keys.root_of(max(metadata.glob("*.root.json"), key=lambda path: int(path.name.split(".")[0])))
    try:
        timestamp = _check(root, "timestamp", (metadata / TIMESTAMP).read_bytes())
        data = (metadata / f"{timestamp.snapshot_meta.version}.snapshot.json").read_bytes()
        timestamp.snapshot_meta.verify_length_and_hashes(data)
        snapshot = _check(root, "snapshot", data)
        meta = snapshot.meta["targets.json"]
        data = (metadata / f"{meta.version}.targets.json").read_bytes()
        meta.verify_length_and_hashes(data)
        targets = _check(root, "targets", data)
        listed = targets.targets[INDEX_FILE]
        data = (folder / TARGETS_FOLDER / _hash_file(INDEX_FILE, listed.hashes["sha256"])).read_bytes()
        listed.verify_length_and_hashes(data)
        return State(root, timestamp.version, timestamp.expires, type(empty).model_validate_json(data))
    except FileNotFoundError as error:
        raise RepositoryUnusable(str(folder), f"{Path(str(error.filename)).name} is missing") from error
    except LengthOrHashMismatchError as error:
        raise RepositoryUnusable(str(folder), "a file of it was changed after it was signed") from error
    except (RepositoryError, ValidationError, KeyError) as error:
        raise RepositoryUnusable(str(folder), str(error).splitlines()[0]) from error


def _check(root: Metadata[Root], role: str, data: bytes) -> Any:
    metadata: Metadata[Any] = Metadata.from_bytes(data)
    root.verify_delegate(role, metadata)
    return metadata.signed


def _sign(signed: Targets | Snapshot | Timestamp, signer: CryptoSigner) -> bytes:
    made: Metadata[Any] = Metadata(signed)
    made.sign(signer)
    return made.to_bytes()


def _hash_file(target: str, digest: str) -> str:
    """The path of a target (TUF 7.2, consistent snapshots): its digest precedes the file name."""
    folder, slash, name = target.rpartition("/")
    return f"{folder}{slash}{digest}.{name}"


def _write(path: Path, data: bytes) -> None:
    with writing(path) as part:
        part.write_bytes(data)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _expiry(days: int) -> datetime:
    return datetime.now(UTC).replace(microsecond=0) + timedelta(days=days)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the lock for one publication at a time; it is released when the process ends."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
