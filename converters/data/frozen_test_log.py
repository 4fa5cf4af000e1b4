"""The log of a frozen test part: every evaluation on it is noted beside its list, because choosing by it spoils it."""

import hashlib
from pathlib import Path

from converters.data import splits
from converters.failures import OutputUnwritable
from converters.workflow.atomic import write_text
from firmware_app.packs.manifest import Manifest

HEAD = "# each look at the test part: day, version of the pack, digest of its model files"


def digest_files(manifest: Manifest) -> str:
    """One word for the model files of a pack, and for the crop of their input where it was changed since."""
    recut = f"crop {manifest.input.crop}" if manifest.recut is not None else ""
    return hashlib.sha256(
        "".join((*sorted(artefact.sha256 for artefact in manifest.artefacts), recut)).encode()
    ).hexdigest()[:16]


def record_look(manifest: Manifest, day: str, folder: Path = splits.LISTS) -> int:
    """Note that the files of a pack were measured on its test part on ``day``; returns how many looks there were.

    The same model files count once: measuring them again gives the same numbers.  Raises
    :class:`~converters.failures.OutputUnwritable`.
    """
    path, word = folder / f"{manifest.name}.looks.txt", digest_files(manifest)
    try:
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else [HEAD]
    except OSError as error:
        raise OutputUnwritable(str(path), error.strerror or str(error)) from error
    noted = [line for line in lines if line and not line.startswith("#")]
    if all(line.split()[-1] != word for line in noted):
        noted.append(f"{day} {manifest.version} {word}")
        write_text(path, "\n".join((*lines, noted[-1])) + "\n")
    return len(noted)
