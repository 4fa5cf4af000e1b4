"""Volumes with outlines: ``DIR/volumes/NAME.npy`` and ``DIR/masks/NAME.npy``, or ``.npz`` with one array each.

A volume is (D, H, W) numbers, bright is dense; its mask has the same shape and is not 0 inside a lesion.  Every volume
has a mask, one without any lesion says so by zeros, or a label of its own: ``labels.csv`` (columns ``file``, ``class``,
``patient``, and traits such as ``machine``) may stand beside them; without it every volume is a patient's only one.
"""

import hashlib
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from converters.data.datasets import Film, FilmSet
from converters.failures import DataUnreadable

SUFFIXES = (".npy", ".npz")


def is_volume(path: Path) -> bool:
    """Whether it is a volume, or the mask of one: by its name, or a CT series (:mod:`converters.data.lidc_idri`)."""
    return path.suffix in (*SUFFIXES, ".xml") or path.is_dir()


def opened(folder: Path, finding: str | None) -> FilmSet:
    """The volumes of ``folder``; positive is one whose mask is not empty, or whose class is ``finding``.

    Raises :class:`DataUnreadable`.
    """
    from converters.data import readers

    paths = sorted(path for path in (folder / "volumes").glob("*") if path.suffix in SUFFIXES)
    if not paths:
        raise DataUnreadable(str(folder), "there is no volume (.npy or .npz) in its folder volumes")
    rows = readers.rows_by_file(folder / "labels.csv") if (folder / "labels.csv").is_file() else {}
    films = []
    for path in paths:
        mask, row = folder / "masks" / path.name, rows.get(path.name, {})
        said = next((row[name] for name in readers.CLASS_COLUMNS if row.get(name)), "")
        label = int(said.casefold() == (finding or "").casefold())
        if mask.is_file():
            shape, outline = read(path).shape, read(mask)
            if outline.shape != shape:
                raise DataUnreadable(str(mask), f"its shape {outline.shape} is not the volume's {shape}")
            label = int(outline.any())
        elif not said:
            raise DataUnreadable(str(path), "it has no mask; one of zeros says that there is no lesion")
        traits = tuple((name, row[name]) for name in readers.TRAIT_COLUMNS if row.get(name))
        known = mask if mask.is_file() else None
        patient = row.get("patient") or path.stem
        films.append(Film(path.name, path, label, patient, mask=known, traits=traits, said=said))
    return FilmSet(folder.name, finding or "", tuple(films))


def read(path: Path) -> NDArray[np.float32]:
    """(D, H, W) float32; of the readers of a CT series, 1 in a lesion. Raises :class:`DataUnreadable`."""
    from converters.data import lidc_idri

    if path.suffix == ".xml":
        return lidc_idri.mask(path).astype(np.float32)
    if path.is_dir():
        return lidc_idri.read(path)
    try:
        content = np.load(path, allow_pickle=False)
        if not isinstance(content, np.ndarray):
            with content:
                if len(content.files) != 1:
                    raise DataUnreadable(str(path), f"it holds {len(content.files)} arrays, one is wanted")
                content = content[content.files[0]]
        volume = np.asarray(content, dtype=np.float32)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataUnreadable(str(path), f"no volume can be read from it ({error})") from error
    if volume.ndim != 3 or not volume.size or not bool(np.isfinite(volume).all()):
        raise DataUnreadable(str(path), f"shape {volume.shape}: it is no (D, H, W) array of finite numbers")
    return volume


def copies(films: Sequence[Film]) -> list[tuple[int, int]]:
    """Index pairs of volumes with the same contents.

    Heads in one pose look much alike at a coarse grid, so likeness would join different people: only copies count.
    """
    first: dict[str, int] = {}
    pairs = []
    for index, film in enumerate(films):
        word = hashlib.sha256(film.read().tobytes()).hexdigest()
        if first.setdefault(word, index) != index:
            pairs.append((first[word], index))
    return pairs
