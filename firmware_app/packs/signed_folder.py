"""A folder of files that its publisher signed (TUF), on a stick or a web server: of packs, or of the box's software.

A box keeps the publisher's root.json and the newest metadata it has seen in a folder of its own; a repository older
than that is refused, wherever it comes from (docs/decisions/signed-packs.md).

`FileFetcher` downloads from a folder or a web server and verifies nothing.  Every download problem is a
:class:`tuf.api.exceptions.DownloadError`.  So an ``OSError`` always means this box's own disk.
"""

from __future__ import annotations

import hashlib
import logging
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Generic, TypeVar
from urllib.parse import urlsplit
from urllib.request import url2pathname

import urllib3
from pydantic import BaseModel, ValidationError
from tuf.api.exceptions import (
    BadVersionNumberError,
    DownloadError,
    DownloadHTTPError,
    DownloadLengthMismatchError,
    ExpiredMetadataError,
    LengthOrHashMismatchError,
    RepositoryError,
    SlowRetrievalError,
    UnsignedMetadataError,
)
from tuf.ngclient.fetcher import FetcherInterface
from tuf.ngclient.updater import Updater
from tuf.ngclient.urllib3_fetcher import Urllib3Fetcher

from firmware_app.core import clock
from firmware_app.core.clock import Condition
from firmware_app.core.errors import LanternError
from firmware_app.core.state_dir import sync_file
from firmware_app.packs.offers import INDEX_FILE, METADATA_FOLDER, TARGETS_FOLDER

ROOT_FILE = "trusted-root.json"
ErrorFactory = Callable[..., LanternError]
IndexModel = TypeVar("IndexModel", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class RepositoryErrors:
    """The errors of one kind of repository.  Each takes ``repository``, and `detail` or `file` where it tells one."""

    unknown: ErrorFactory
    """No publisher is trusted yet."""
    unreachable: ErrorFactory  # detail
    unusable: ErrorFactory  # detail
    other_kind: ErrorFactory
    """Its index is that of another kind of repository: packs for software, or software for packs."""
    signature: ErrorFactory  # detail
    rolled_back: ErrorFactory  # detail
    expired: ErrorFactory
    truncated: ErrorFactory  # file
    altered: ErrorFactory  # file
    root: ErrorFactory
    """``path``, ``detail``: no root.json."""
    other_publisher: ErrorFactory
    """``path``, ``trust``."""


class SignedFolder(Generic[IndexModel]):
    """One repository as its publisher signed it, with what it offers. :func:`open_signed_folder` is how one is made."""

    def __init__(
        self,
        place: str,
        kind: type[IndexModel],
        updater: Updater,
        carrier: FileFetcher,
        age_judged: bool,
        failures: RepositoryErrors,
    ) -> None:
        self.place, self.age_judged, self.failures = place, age_judged, failures
        self._updater, self._carrier = updater, carrier
        with self._translate_errors():
            updater.refresh()
        path = carrier.scratch / INDEX_FILE
        self.fetch(INDEX_FILE, path)
        try:
            self.index = kind.model_validate_json(path.read_bytes())
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            if first["loc"] == ("schema",) and str(first["input"]).partition("/")[0] not in first["ctx"]["expected"]:
                raise failures.other_kind(repository=place) from error
            raise failures.unusable(repository=place, detail=f"{INDEX_FILE}: {first['msg']}") from error

    def fetch(self, target: str, path: Path) -> None:
        """Bring a target into the file *path*, with the digest and length that were signed.

        Raises one of the repository's failures, and ``OSError`` when this box cannot write.
        """
        with self._translate_errors():
            info = self._updater.get_targetinfo(target)
        if info is None:
            raise self.failures.unusable(repository=self.place, detail=f"{target} is named but not signed")
        try:
            with self._translate_errors(target):
                self._updater.download_target(info, str(path))
        except _FileAltered as error:
            cut = self._carrier.received < info.length
            raise (self.failures.truncated if cut else self.failures.altered)(
                repository=self.place, file=target
            ) from error

    @contextmanager
    def _translate_errors(self, target: str = "") -> Iterator[None]:
        """Turn TUF's errors into this repository's failures."""
        name, failures = self._carrier.name, self.failures
        try:
            yield
        except DownloadCutOff as error:
            raise failures.truncated(repository=self.place, file=target or self._carrier.name) from error
        except (LengthOrHashMismatchError, DownloadLengthMismatchError) as error:
            if target:
                raise _FileAltered from error
            raise failures.altered(repository=self.place, file=self._carrier.name) from error
        except UnsignedMetadataError as error:
            raise failures.signature(repository=self.place, detail=_first_line(error)) from error
        except BadVersionNumberError as error:
            raise failures.rolled_back(repository=self.place, detail=_first_line(error)) from error
        except ExpiredMetadataError as error:
            raise failures.expired(repository=self.place) from error
        except DownloadHTTPError as error:
            detail = f"{self._carrier.name or name}: {_first_line(error)}"
            raise failures.unreachable(repository=self.place, detail=detail) from error
        except DownloadError as error:
            raise failures.unreachable(repository=self.place, detail=_first_line(error)) from error
        except RepositoryError as error:
            raise failures.unusable(repository=self.place, detail=_first_line(error)) from error


class _FileAltered(Exception):
    """A target is not the file that was signed, or its end is missing."""


@contextmanager
def open_signed_folder(
    place: str, kind: type[IndexModel], trust: Path, root: Path | None, scratch: Path, failures: RepositoryErrors
) -> Iterator[SignedFolder[IndexModel]]:
    """The repository at ``place`` (a folder or an address), checked against the publisher kept in ``trust``.

    ``root`` is the publisher's root.json, needed once; it is kept only after the repository has proved to be signed by
    it. ``scratch`` is an empty folder on the disk where things are installed. ``kind`` is the
    form of its index.

    Raises one of *failures*, and ``OSError`` when this box cannot write.
    """
    given = _read_given_root(root, failures)
    known = (trust / ROOT_FILE).read_bytes() if (trust / ROOT_FILE).is_file() else None
    if known is None and given is None:
        raise failures.unknown(repository=place)
    if known is not None and given is not None and given not in _read_trusted_roots(trust):
        raise failures.other_publisher(path=str(root), trust=str(trust))
    bootstrap = known or given or b""
    folder = trust if known is not None else scratch / "publisher"
    folder.mkdir(exist_ok=True)
    standing = clock.current_clock().status()
    judged = standing.condition not in (Condition.BEHIND, Condition.AHEAD)
    carrier, address = FileFetcher(scratch), _address(place)
    try:
        updater = Updater(
            str(folder),
            f"{address}/{METADATA_FOLDER}/",
            None,
            f"{address}/{TARGETS_FOLDER}/",
            carrier,
            bootstrap=bootstrap,
        )
    except RepositoryError as error:
        path = root if known is None else trust / ROOT_FILE
        raise failures.root(path=str(path), detail=_first_line(error)) from error
    # Expiry is judged by the box's time, not by the system clock; TUF has no public way to set it.  While that time is
    # not to be trusted, only metadata is too old that expired before a moment that has certainly passed.
    certain = datetime.fromtimestamp(clock.current_clock().memory().find_earliest(), UTC)
    updater._trusted_set.reference_time = standing.stamp.at if judged else certain
    try:
        repository = SignedFolder(
            place=place, kind=kind, updater=updater, carrier=carrier, age_judged=judged, failures=failures
        )
    finally:
        _sync_metadata(folder)
    if known is None:
        (folder / ROOT_FILE).write_bytes(bootstrap)
        _sync_metadata(folder)
        folder.rename(trust)
    yield repository


def fingerprint(root: bytes) -> str:
    """The SHA-256 of a root.json in groups of four digits, which two people can compare over the telephone."""
    digest = hashlib.sha256(root).hexdigest()
    return " ".join(digest[at : at + 4] for at in range(0, 32, 4))


def _read_given_root(root: Path | None, failures: RepositoryErrors) -> bytes | None:
    try:
        return None if root is None else root.read_bytes()
    except OSError as error:
        raise failures.root(path=str(root), detail=error.strerror or "it cannot be read") from error


def _read_trusted_roots(trust: Path) -> list[bytes]:
    """Every trusted root of the publisher: the first, and its successors."""
    return [path.read_bytes() for path in (trust / ROOT_FILE, *sorted(trust.glob("root_history/*.json")))]


def _address(place: str) -> str:
    if place.startswith(("http://", "https://", "file://")):
        return place.rstrip("/")
    return Path(place).resolve().as_uri()


def _sync_metadata(folder: Path) -> None:
    """Flush the publisher's metadata to the disk: after a power cut the box must not accept an older repository."""
    for path in (*folder.rglob("*"), folder):
        sync_file(path)


def _first_line(error: Exception) -> str:
    """The first line of a library's error."""
    text = str(error) or type(error).__name__
    return text.splitlines()[0].rstrip(".")


_CHUNK_BYTES = 1 << 18
_SILENCE_SECONDS = 30
_NOT_FOUND = 404


class DownloadCutOff(DownloadError):
    """The connection ended before the announced length."""


class FileFetcher(FetcherInterface):
    """Fetches ``file://``, ``http://`` and ``https://``; keeps what is under way in ``scratch``, not in /tmp.

    ``name`` and ``received`` tell the file that was fetched last and how many bytes of it came.
    """

    def __init__(self, scratch: Path) -> None:
        self.scratch, self.name, self.received = scratch, "", 0
        logging.getLogger("urllib3").setLevel(logging.ERROR)  # each of its retries would be a line of its own
        self._web = Urllib3Fetcher(socket_timeout=_SILENCE_SECONDS, app_user_agent="lantern")

    @contextmanager
    def download_file(self, url: str, max_length: int) -> Iterator[IO[bytes]]:
        """Bring ``url`` into a file without a name; never more than ``max_length`` bytes of it."""
        self.name, self.received = urlsplit(url).path.rpartition("/")[2], 0
        with tempfile.TemporaryFile(dir=self.scratch) as file:
            for chunk in self._fetch(url):
                self.received += len(chunk)
                if self.received > max_length:
                    raise DownloadLengthMismatchError(f"{self.name} is longer than {max_length} bytes")
                file.write(chunk)
            file.seek(0)
            yield file

    def _fetch(self, url: str) -> Iterator[bytes]:
        address = urlsplit(url)
        return _read_from_disk(Path(url2pathname(address.path))) if address.scheme == "file" else self._from_web(url)

    def _from_web(self, url: str) -> Iterator[bytes]:
        try:
            yield from self._web.fetch(url)
        except SlowRetrievalError as error:
            raise DownloadError("it does not answer") from error
        except urllib3.exceptions.IncompleteRead as error:
            raise DownloadCutOff(str(error)) from error
        except urllib3.exceptions.ProtocolError as error:
            # urllib3 wraps the short body in "Connection broken", with the reason as its last argument.
            if isinstance(error.args[-1], urllib3.exceptions.IncompleteRead):
                raise DownloadCutOff(str(error)) from error
            raise DownloadError(_innermost_reason(error)) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise DownloadError(_innermost_reason(error)) from error


def _read_from_disk(path: Path) -> Iterator[bytes]:
    try:
        if not path.is_file():  # a pipe with a file's name would be waited for without end
            raise DownloadHTTPError(f"{path.name} is not there", _NOT_FOUND)
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                yield chunk
    except OSError as error:
        raise DownloadError(error.strerror or str(error)) from error


def _innermost_reason(error: BaseException) -> str:
    """The innermost reason, without the addresses of objects that urllib3's messages carry."""
    reason: object = getattr(error, "reason", None) or error
    words = str(reason).rpartition(">: ")[2] or type(error).__name__
    return words.rstrip(".")
