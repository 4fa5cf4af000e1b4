"""``SHA256SUMS``: the digest of every other file of a pack, as ``sha256sum --check`` reads it."""

import re
from pathlib import Path

from firmware_app.core.errors import PackArtefactMissing, PackDigestMismatch, PackFileUnlisted, PackSumsInvalid
from firmware_app.packs.manifest import sha256_of

FILE_NAME = "SHA256SUMS"
_LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")


def files_of(folder: Path) -> list[str]:
    """Every file below ``folder`` as a POSIX path inside it, by name; links count as what they point to."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())


def sums_of(folder: Path) -> dict[str, str]:
    """Path → digest, as the list in ``folder`` says; raises :class:`~firmware_app.core.errors.PackSumsInvalid`."""
    try:
        lines = (folder / FILE_NAME).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise PackSumsInvalid(pack=folder.name, detail=error.strerror or "it cannot be read") from error
    except UnicodeDecodeError as error:
        raise PackSumsInvalid(pack=folder.name, detail="it is not text") from error
    matches = [_LINE.fullmatch(line) for line in lines]
    for number, match in enumerate(matches, 1):
        if match is None:
            raise PackSumsInvalid(pack=folder.name, detail=f"line {number} is no digest with a file name")
    return {match[2]: match[1] for match in matches if match is not None}


def write(folder: Path) -> Path:
    """Write the list for the files as they are now; returns its path."""
    lines = (f"{sha256_of(folder / name)}  {name}\n" for name in files_of(folder) if name != FILE_NAME)
    path = folder / FILE_NAME
    path.write_text("".join(lines), encoding="utf-8")
    return path


def check(folder: Path) -> None:
    """Compare the pack in ``folder`` with its list: no file may be missing, different or additional.

    Raises :class:`~firmware_app.core.errors.PackSumsInvalid`, :class:`~firmware_app.core.errors.PackFileUnlisted`,
    :class:`~firmware_app.core.errors.PackArtefactMissing` or :class:`~firmware_app.core.errors.PackDigestMismatch`.
    """
    promised = sums_of(folder)
    there = set(files_of(folder)) - {FILE_NAME}
    for path in sorted(there - set(promised)):
        raise PackFileUnlisted(pack=folder.name, file=path)
    for path, digest in promised.items():
        if path not in there:
            raise PackArtefactMissing(pack=folder.name, file=path)
        if sha256_of(folder / path) != digest:
            raise PackDigestMismatch(pack=folder.name, file=path)
