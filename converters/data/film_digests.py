"""Digests of films: a picture that was replaced under the same name is noticed.

A film's digest is the SHA-256 of its file (of an ``.npz``, with its place in it; of a clinic's feedback, of its PNG).
``learnt.json`` in a work folder keeps the digests of the films that a pack learnt from: a pack that begins from its
network must not be judged on any of them.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from converters.data.datasets import Film
from converters.data.predictions import Predictions
from converters.failures import DataUnreadable, SplitLeaks
from converters.workflow.atomic import write_json
from converters.workflow.ledger import digest_of

LEARNT = "learnt.json"
OF_OLDER = Path("predictions", "pytorch.fp32.npz")
"""Where the work folder of an older converter names the films outside its test part."""


def digest_film(film: Film) -> str:
    """The digest of a film's picture. Raises :class:`~converters.failures.DataUnreadable`."""
    png = getattr(film, "png", b"")
    if png:
        return hashlib.sha256(png).hexdigest()
    digest = _hash_file(film.path, _stat_file(film.path))
    return digest if film.index is None else f"{digest}#{film.name}"


def digest(films: Iterable[Film]) -> str:
    """One digest for the pictures, outlines, labels and traits of ``films``."""
    parts = []
    for film in films:
        mask = film.mask and _hash_file(film.mask, _stat_file(film.mask))
        more = (film.target, film.boxes) if film.target or film.boxes is not None else ()
        parts.append((digest_film(film), mask, film.traits, *more))
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def record_digests(work: Path, words: Mapping[str, str]) -> None:
    """Keep in ``work`` what its networks learn from, by the films' names."""
    if _read_record(work) != words:
        write_json(work / LEARNT, {"films": dict(sorted(words.items()))})


def read_digests(work: Path) -> dict[str, str] | None:
    """Film name → class word of the training films of ``work``; empty words where it kept none.

    ``None`` where nothing there says it.
    """
    words = _read_record(work)
    if words is None and (work / OF_OLDER).is_file():
        return dict.fromkeys(Predictions.load(work / OF_OLDER).names, "")
    return words


def refuse_known(known: Mapping[str, str], judged: Mapping[str, str]) -> None:
    """Raise :class:`~converters.failures.SplitLeaks` when a film that judges, name → word, was learnt from before."""
    named = {one: name for name, one in known.items() if one}
    pairs = [(named.get(one, name), name) for name, one in judged.items() if one in named or name in known]
    if pairs:
        raise SplitLeaks(pairs)


def _read_record(work: Path) -> dict[str, str] | None:
    try:
        words: dict[str, str] = json.loads((work / LEARNT).read_text(encoding="utf-8"))["films"]
    except (OSError, ValueError, KeyError):
        return None
    return words


def _stat_file(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError as error:
        raise DataUnreadable(str(path), error.strerror or str(error)) from error
    return status.st_mtime_ns, status.st_size


@cache
def _hash_file(path: Path, written: tuple[int, int]) -> str:
    """The SHA-256 of a file, taken once as long as it stays as it was ``written``."""
    try:
        return digest_of(path)
    except OSError as error:
        raise DataUnreadable(str(path), error.strerror or str(error)) from error
