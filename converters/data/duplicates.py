"""Near-duplicate films: found by a perceptual hash, confirmed by correlation, joined into groups.

The hash is the sign of the 64 lowest frequencies of a 32 x 32 cosine transform (Zauner 2010, "pHash"); it proposes.
A chest film looks much like another child's, so a proposal counts only when the stretched greys of the two films at
64 x 64 px correlate at 0.975 or more. Measured on 5,216 children's films: no pair of different persons reached 0.973,
the 28 copies filed under one person are all above 0.99.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

HASH_SIDE = 32
HASH_FREQUENCIES = 8
HASH_DISTANCE = 10
SAME_CORRELATION = 0.975
BLOCK = 1024


def cosine_basis(size: int) -> NDArray[np.float64]:
    """The orthonormal DCT-II matrix (size, size)."""
    grid = np.arange(size)
    basis = np.cos(np.pi * (2 * grid[np.newaxis] + 1) * grid[:, np.newaxis] / (2 * size)) * np.sqrt(2.0 / size)
    basis[0] /= np.sqrt(2.0)
    return np.asarray(basis, dtype=np.float64)


def perceptual_hashes(films: NDArray[np.float32]) -> NDArray[np.bool_]:
    """(N, S, S) greys, S a multiple of 32 → (N, 64) bits: each low frequency against their median."""
    count, side, _ = films.shape
    step = side // HASH_SIDE
    small = films.reshape(count, HASH_SIDE, step, HASH_SIDE, step).mean(axis=(2, 4))
    basis = cosine_basis(HASH_SIDE)[:HASH_FREQUENCIES]
    low = np.einsum("ui,nij,vj->nuv", basis, small, basis, optimize=True).reshape(count, -1)
    low[:, 0] = 0.0
    return np.asarray(low > np.median(low, axis=1, keepdims=True), dtype=np.bool_)


def duplicate_pairs(films: NDArray[np.float32]) -> list[tuple[int, int]]:
    """(N, S, S) stretched greys → index pairs (i < j) of films that are the same picture."""
    count = len(films)
    bits = perceptual_hashes(films).astype(np.float32) * 2.0 - 1.0
    flat = films.reshape(count, -1).astype(np.float32)
    flat = flat - flat.mean(axis=1, keepdims=True)
    flat /= np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)
    agree = bits.shape[1] - 2 * HASH_DISTANCE
    pairs: list[tuple[int, int]] = []
    for start in range(0, count, BLOCK):
        block = slice(start, start + BLOCK)
        close = (bits[block] @ bits.T >= agree) & (flat[block] @ flat.T >= SAME_CORRELATION)
        rows, columns = np.nonzero(close)
        pairs += [(int(i) + start, int(j)) for i, j in zip(rows, columns, strict=True) if i + start < j]
    return pairs


def groups(patients: Sequence[str], pairs: Iterable[tuple[int, int]]) -> list[str]:
    """One group name per film: films of one patient, and films joined by a duplicate pair, share it."""
    parent = {patient: patient for patient in patients}

    def root(patient: str) -> str:
        while parent[patient] != patient:
            parent[patient] = parent[parent[patient]]
            patient = parent[patient]
        return patient

    for one, other in pairs:
        first, second = sorted((root(patients[one]), root(patients[other])))
        parent[second] = first
    return [root(patient) for patient in patients]
