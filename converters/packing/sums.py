"""``SHA256SUMS``: the digest of every other file of a pack, as ``sha256sum --check`` reads it."""

from pathlib import Path

from firmware_app.packs.manifest import sha256_of

NAME = "SHA256SUMS"


def write(folder: Path) -> Path:
    """Write it."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != NAME)
    lines = (f"{sha256_of(path)}  {path.relative_to(folder).as_posix()}\n" for path in files)
    (folder / NAME).write_text("".join(lines), encoding="utf-8")
    return folder / NAME


def renew(folder: Path) -> None:
    """Write it again where the pack has one; without it the pack was never finished."""
    if (folder / NAME).is_file():
        write(folder)
