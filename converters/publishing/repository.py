"""A repository of packs: a plain folder, signed with TUF metadata, that a USB stick and a web server serve alike.

A box starts from timestamp.json. So a publication writes the packs' files, then targets, then snapshot, each under a
new name, and replaces timestamp.json last. An interrupted publication leaves the repository as it was.
"""

import argparse
import fcntl
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError
from securesystemslib.signer import CryptoSigner
from tuf.api.exceptions import LengthOrHashMismatchError, RepositoryError
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp

from converters.failures import AlreadyPublished, OutputUnwritable, RepositoryUnusable
from converters.publishing import tuf_keys
from converters.workflow.atomic import writing
from firmware_app.packs import tree
from firmware_app.packs.manifest import sha256_of
from firmware_app.packs.offers import INDEX, METADATA, TARGETS, Index, Offer, version_key
from firmware_app.packs.shelf import Pack

DAYS: Final = 400
TIMESTAMP: Final = "timestamp.json"


@dataclass(frozen=True, slots=True)
class State:
    """What a repository says: its publisher, how many publications it has seen, until when it is valid, which packs it
    offers.

    Targets, snapshot and timestamp all carry the publication's number as their version.
    """

    root: Metadata[Root]
    number: int
    expires: datetime
    index: Index


def publish(pack: Path | None, folder: Path, keys: Path, days: int = DAYS, passphrase: bytes | None = None) -> State:
    """Add a finished pack to the repository in ``folder``, or without one sign anew what is there.

    The signatures are good for ``days``. The same pack once more is no error; other files under a version that is out
    already are. Raises a :class:`~converters.failures.ConverterError` or a :class:`~firmware_app.errors.PackError`;
    the repository is then as it was.
    """
    offered = described(pack) if pack is not None else None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder):
            state = read(folder, keys)
            signers = tuf_keys.signers(keys, state.root, passphrase)
            index = _with(state.index, offered)
            if offered is not None and pack is not None:
                for file in offered.files:
                    _put(pack / file.path, folder / TARGETS / _hashed(offered.target(file), file.sha256))
            return _sign(folder, state, index, signers, _expiry(days))
    except OSError as error:
        raise OutputUnwritable(str(folder), error.strerror or str(error)) from error


def described(folder: Path) -> Offer:
    """A pack folder as an offer, after it was compared with its manifest and its SHA256SUMS."""
    pack = Pack.load(folder.resolve())
    pack.verify()
    tree.check(pack.folder)
    files = [
        {"path": path, "sha256": sha256_of(pack.folder / path), "bytes": (pack.folder / path).stat().st_size}
        for path in tree.files_of(pack.folder)
    ]
    try:
        return Offer.model_validate(
            {"name": pack.name, "version": pack.manifest.version, "title": pack.manifest.title.model_dump(),
             "files": files}
        )  # fmt: skip
    except ValidationError as error:
        raise RepositoryUnusable(str(folder), error.errors(include_url=False)[0]["msg"]) from error


def read(folder: Path, keys: Path) -> State:
    """The state that ``folder``'s timestamp names, every signature and digest checked; a new one where there is none.

    Raises :class:`~converters.failures.RepositoryUnusable` or :class:`~converters.failures.PublisherKeysUnusable`.
    """
    metadata = folder / METADATA
    if not (metadata / TIMESTAMP).is_file():
        return State(tuf_keys.root_of(keys / tuf_keys.ROOT_FILE), 0, _expiry(0), Index())
    root = tuf_keys.root_of(max(metadata.glob("*.root.json"), key=lambda path: int(path.name.split(".")[0])))
    try:
        timestamp = _checked(root, "timestamp", (metadata / TIMESTAMP).read_bytes())
        data = (metadata / f"{timestamp.snapshot_meta.version}.snapshot.json").read_bytes()
        timestamp.snapshot_meta.verify_length_and_hashes(data)
        snapshot = _checked(root, "snapshot", data)
        meta = snapshot.meta["targets.json"]
        data = (metadata / f"{meta.version}.targets.json").read_bytes()
        meta.verify_length_and_hashes(data)
        targets = _checked(root, "targets", data)
        listed = targets.targets[INDEX]
        data = (folder / TARGETS / _hashed(INDEX, listed.hashes["sha256"])).read_bytes()
        listed.verify_length_and_hashes(data)
        return State(root, timestamp.version, timestamp.expires, Index.model_validate_json(data))
    except FileNotFoundError as error:
        raise RepositoryUnusable(str(folder), f"{Path(str(error.filename)).name} is missing") from error
    except LengthOrHashMismatchError as error:
        raise RepositoryUnusable(str(folder), "a file of it was changed after it was signed") from error
    except (RepositoryError, ValidationError, KeyError) as error:
        raise RepositoryUnusable(str(folder), str(error).splitlines()[0]) from error


def _checked(root: Metadata[Root], role: str, data: bytes) -> Any:
    metadata: Metadata[Any] = Metadata.from_bytes(data)
    root.verify_delegate(role, metadata)
    return metadata.signed


def _with(index: Index, offer: Offer | None) -> Index:
    if offer is None:
        return index
    same = [one for one in index.packs if (one.name, one.version) == (offer.name, offer.version)]
    if same and same[0].files != offer.files:
        raise AlreadyPublished(offer.name, offer.version)
    others = [one for one in index.packs if one not in same]
    packs = sorted([*others, offer], key=lambda one: (one.name, version_key(one.version)))
    return index.model_copy(update={"packs": tuple(packs)})


def _sign(folder: Path, state: State, index: Index, signers: dict[str, CryptoSigner], expires: datetime) -> State:
    """Write index, targets and snapshot beside what is in use, then the timestamp that names them."""
    metadata = folder / METADATA
    content = index.model_dump_json(by_alias=True, indent=1).encode() + b"\n"
    entry = TargetFile.from_data(INDEX, content, ["sha256"])
    _write(folder / TARGETS / _hashed(INDEX, entry.hashes["sha256"]), content)
    number = state.number + 1
    data = _signed(Targets(number, expires=expires, targets=_targets(index, entry)), signers["targets"])
    _write(metadata / f"{number}.targets.json", data)
    snapshot = Snapshot(number, expires=expires, meta={"targets.json": MetaFile.from_data(number, data, ["sha256"])})
    data = _signed(snapshot, signers["snapshot"])
    _write(metadata / f"{number}.snapshot.json", data)
    timestamp = Timestamp(number, expires=expires, snapshot_meta=MetaFile.from_data(number, data, ["sha256"]))
    _write(metadata / f"{state.root.signed.version}.root.json", state.root.to_bytes())
    for kept in (folder / TARGETS, metadata, folder):
        _sync(kept)
    _write(metadata / TIMESTAMP, _signed(timestamp, signers["timestamp"]))
    _sync(metadata)
    return State(state.root, number, expires, index)


def _targets(index: Index, entry: TargetFile) -> dict[str, TargetFile]:
    targets = {INDEX: entry}
    for offer in index.packs:
        custom = {"custom": {"pack": offer.name, "version": offer.version}}
        for file in offer.files:
            path = offer.target(file)
            targets[path] = TargetFile(file.bytes, {"sha256": file.sha256}, path, custom)
    return targets


def _signed(signed: Targets | Snapshot | Timestamp, signer: CryptoSigner) -> bytes:
    made: Metadata[Any] = Metadata(signed)
    made.sign(signer)
    return made.to_bytes()


def _hashed(target: str, digest: str) -> str:
    """Where a target lies (TUF 7.2, consistent snapshots): its digest stands before its file name."""
    folder, slash, name = target.rpartition("/")
    return f"{folder}{slash}{digest}.{name}"


def _put(source: Path, path: Path) -> None:
    with writing(path) as part:
        shutil.copyfile(source, part)
    _sync(path.parent)


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


# --- the command --------------------------------------------------------------------------------------------------


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``lantern-convert publish`` takes."""
    parser.add_argument("pack", type=Path, nargs="?", help="a finished pack's folder; without one, only sign anew")
    parser.add_argument("--repository", type=Path, required=True, help="the folder that boxes read")
    parser.add_argument("--keys", type=Path, required=True, help="the publisher's keys, made by lantern-convert keys")
    parser.add_argument(
        "--days", type=int, default=DAYS, help="how long the signatures are good (default: %(default)s)"
    )
    parser.add_argument("--passphrase-file", type=Path, metavar="FILE", help="its first line opens the keys")


def command(options: argparse.Namespace) -> int:
    """Publish, and say what is offered now."""
    passphrase = tuf_keys.passphrase_of(options.passphrase_file)
    state = publish(options.pack, options.repository, options.keys, options.days, passphrase)
    for offer in state.index.packs:
        print(f"{offer.name} {offer.version}")
    print(f"{options.repository} is good until {state.expires:%Y-%m-%d}", file=sys.stderr)
    return 0
