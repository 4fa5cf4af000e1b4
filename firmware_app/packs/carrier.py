"""Downloads the files of a pack repository, from a folder (a USB stick) or a web server; nothing is verified here.

Every download problem is a :class:`tuf.api.exceptions.DownloadError`.  So an ``OSError`` always means this box's own
disk.
"""

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit
from urllib.request import url2pathname

import urllib3
from tuf.api.exceptions import DownloadError, DownloadHTTPError, DownloadLengthMismatchError, SlowRetrievalError
from tuf.ngclient.fetcher import FetcherInterface
from tuf.ngclient.urllib3_fetcher import Urllib3Fetcher

_CHUNK_BYTES = 1 << 18
_SILENCE_SECONDS = 30
_NOT_FOUND = 404


class CutOff(DownloadError):
    """The connection ended before the announced length."""


class Carrier(FetcherInterface):
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
        return _from_disk(Path(url2pathname(address.path))) if address.scheme == "file" else self._from_web(url)

    def _from_web(self, url: str) -> Iterator[bytes]:
        try:
            yield from self._web.fetch(url)
        except SlowRetrievalError as error:
            raise DownloadError("it does not answer") from error
        except urllib3.exceptions.IncompleteRead as error:
            raise CutOff(str(error)) from error
        except urllib3.exceptions.ProtocolError as error:
            # urllib3 wraps the short body in "Connection broken", with the reason as its last argument.
            if isinstance(error.args[-1], urllib3.exceptions.IncompleteRead):
                raise CutOff(str(error)) from error
            raise DownloadError(_plain(error)) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise DownloadError(_plain(error)) from error


def _from_disk(path: Path) -> Iterator[bytes]:
    try:
        if not path.is_file():  # a pipe with a file's name would be waited for without end
            raise DownloadHTTPError(f"{path.name} is not there", _NOT_FOUND)
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                yield chunk
    except OSError as error:
        raise DownloadError(error.strerror or str(error)) from error


def _plain(error: BaseException) -> str:
    """The innermost reason, without the addresses of objects that urllib3's messages carry."""
    reason: object = getattr(error, "reason", None) or error
    words = str(reason).rpartition(">: ")[2] or type(error).__name__
    return words.rstrip(".")
