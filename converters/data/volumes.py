"""One volume from its file: an array of NumPy's, or the slices of a CT series; and its mask."""

import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from converters.data import lidc_idri
from converters.failures import DataUnreadable

SUFFIXES = (".npy", ".npz")


def is_volume(path: Path) -> bool:
    """Whether it is a volume, or the mask of one: by its name, or a CT series (:mod:`converters.data.lidc_idri`)."""
    return path.suffix in (*SUFFIXES, ".xml") or path.is_dir()


def read(path: Path) -> NDArray[np.float32]:
    """(D, H, W) float32; of the readers of a CT series, 1 in a lesion. Raises :class:`DataUnreadable`."""
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
