"""A CT series with its readers' XML becomes a volume with a mask of what the readers agree on."""

from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from converters.data import readers, volume_sets
from converters.failures import DataUnreadable
from tests import scans

ROUND = [(8, 6), (11, 6), (12, 9), (11, 12), (8, 12), (7, 9)]
"""Points around a nodule, which covers what lies inside them."""

Reader = list[tuple[int, str, list[tuple[int, int]]]]
"""Of one reader: the slice from below, TRUE or FALSE, the points."""


def series(folder: Path, *readers: Reader, patient: str = "A") -> Path:
    """Eight slices, shuffled, and the XML of ``readers``; a slice is counted from the feet."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = scans.write_scan(folder, scans.make_planes(8), PatientID=patient)
    heads = [dcmread(path, stop_before_pixels=True) for path in paths]
    heads.sort(key=lambda one: float(one.ImagePositionPatient[2]))
    said = ""
    for reader in readers:
        rois = "".join(
            f"<roi><imageSOP_UID>{heads[at].SOPInstanceUID}</imageSOP_UID><inclusion>{inside}</inclusion>"
            + "".join(f"<edgeMap><xCoord>{x}</xCoord><yCoord>{y}</yCoord></edgeMap>" for x, y in points)
            + "</roi>"
            for at, inside, points in reader
        )
        said += f"<readingSession><unblindedReadNodule>{rois}</unblindedReadNodule></readingSession>"
    (folder / "readers.xml").write_text(f'<LidcReadMessage xmlns="http://www.nih.gov">{said}</LidcReadMessage>')
    return folder


def test_a_series_is_a_volume_in_hounsfield_units_with_the_nodule_where_half_of_the_readers_saw_it(
    tmp_path: Path,
) -> None:
    whole: Reader = [(3, "TRUE", ROUND), (4, "TRUE", ROUND)]
    one_slice: Reader = [(3, "TRUE", ROUND)]
    series(tmp_path / "one" / "ct", whole, one_slice, [], [])
    (film,) = readers.open_set(tmp_path, "nodule").films
    assert (film.name, film.label, film.patient) == ("one/ct", 1, "patient1")
    voxels, mask = film.read(), film.outline()
    assert mask is not None
    assert voxels.shape == mask.shape == (8, scans.ROWS, scans.COLUMNS)
    assert np.ptp(voxels) > 800
    # Slice 3 has two votes of four, slice 4 one; the points themselves lie outside the nodule.
    assert [int(layer.any()) for layer in mask] == [0, 0, 0, 1, 0, 0, 0, 0]
    assert mask[3, 9, 9]
    assert not any(mask[3, y, x] for x, y in ROUND)


def test_a_hole_is_cut_out_and_a_single_point_is_no_nodule(tmp_path: Path) -> None:
    hole = [(8, 8), (10, 8), (10, 10), (8, 10)]
    series(tmp_path / "hole", [(2, "FALSE", hole), (2, "TRUE", ROUND)])
    series(tmp_path / "small", [(2, "TRUE", [(9, 9)])], patient="B")
    with_hole, small = readers.open_set(tmp_path, "nodule").films
    mask = with_hole.outline()
    assert mask is not None
    assert not mask[2, 9, 9]
    assert mask[2, 11, 9]
    assert (with_hole.label, small.label) == (1, 0)
    assert {with_hole.patient, small.patient} == {"patient1", "patient2"}


def test_what_is_no_such_folder_is_named(tmp_path: Path) -> None:
    folder = series(tmp_path / "ct", [(2, "TRUE", ROUND)])
    (folder / "more.xml").write_text("<x/>")
    with pytest.raises(DataUnreadable, match="2 XML files"):
        volume_sets.series(tmp_path, "nodule")
    (folder / "more.xml").unlink()
    for text, why in (("<LidcRead", "cut off"), ("<other/>", "not the readers' XML")):
        (folder / "readers.xml").write_text(text)
        with pytest.raises(DataUnreadable, match=why):
            volume_sets.series(tmp_path, "nodule")
    elsewhere = series(tmp_path / "other", [(2, "TRUE", ROUND)])
    (folder / "readers.xml").write_bytes((elsewhere / "readers.xml").read_bytes())
    with pytest.raises(DataUnreadable, match="not in the series"):
        volume_sets.series(folder, "nodule")
