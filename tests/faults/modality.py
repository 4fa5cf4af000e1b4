"""The sender: dcmtk's storescu with films made by code, sending each until it is acknowledged, as a modality does."""

from __future__ import annotations

import random
import re
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.faults.ledger import Ledger, digest_of_file
from tests.films import save
from tests.peers import peer
from tests.reading_rig import tiny_film

_ANSWER = re.compile(r"Received Store Response \((.*)\)")
_LIMIT_S = "10"
_MOST_IN_ONE = 4


@dataclass(frozen=True, slots=True)
class Film:
    """A film on the sender's disk."""

    uid: str
    path: Path
    digest: str


class FilmSource:
    """Endlessly many films, each a study of its own, made as they are needed."""

    def __init__(self, folder: Path, seed: int) -> None:
        folder.mkdir(parents=True)
        self._folder, self._next = folder, seed % 10**6 * 10**6

    def take(self, count: int) -> list[Film]:
        return [self._make_film() for _ in range(count)]

    def _make_film(self) -> Film:
        self._next += 1
        path = save(self._folder, f"{self._next}.dcm", film := tiny_film(self._next))
        return Film(str(film.SOPInstanceUID), path, digest_of_file(path.read_bytes()))


def store(films: Sequence[Film], port: int, ledger: Ledger, since: float) -> list[Film]:
    """Send *films* in one association; returns those that were not acknowledged.

    *since* is when the first of them was first tried, by the monotonic clock.
    """
    ledger.attempts += 1
    command = [
        peer("storescu"),
        "-v",
        "-to",
        "5",
        "-ta",
        _LIMIT_S,
        "-td",
        _LIMIT_S,
        "-ts",
        _LIMIT_S,
        "127.0.0.1",
        str(port),
        *(str(film.path) for film in films),
    ]
    left = list(films)
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as run:
        assert run.stdout is not None
        for line in run.stdout:
            match = _ANSWER.search(line)
            if match is None:
                continue
            if match[1] != "Success":
                ledger.refused[match[1]] += 1
                break  # storescu goes no further
            film = left.pop(0)
            ledger.acknowledge(film.uid, film.digest, time.monotonic() - since)
        run.kill()
    return left


class Modality(threading.Thread):
    """Sends films until *studies* are acknowledged or it is stopped; several go in one association by chance."""

    def __init__(
        self, stack: FilmSource, port: int, ledger: Ledger, chance: random.Random, studies: int | None = None
    ) -> None:
        super().__init__(name="modality")
        self._stack, self._port, self._ledger, self._chance = stack, port, ledger, chance
        self._studies = studies
        self._enough = threading.Event()
        self.sent = 0

    def run(self) -> None:
        for films in self._batches():
            since = time.monotonic()
            left = films
            while left and not self._enough.is_set():
                before = len(left)
                left = store(left, self._port, self._ledger, since)
                for film in films[: len(films) - len(left)]:
                    film.path.unlink(missing_ok=True)
                if len(left) < before:
                    since = time.monotonic()
                elif self._enough.wait(0.05):  # a modality waits before it tries again
                    break
            self.sent += len(films) - len(left)

    def _batches(self) -> Iterator[list[Film]]:
        while not self._enough.is_set() and (self._studies is None or self.sent < self._studies):
            most = _MOST_IN_ONE if self._studies is None else min(_MOST_IN_ONE, self._studies - self.sent)
            yield self._stack.take(self._chance.randint(1, most))

    def stop(self) -> None:
        """Send nothing more; what is under way comes to its end."""
        self._enough.set()
        self.join()
