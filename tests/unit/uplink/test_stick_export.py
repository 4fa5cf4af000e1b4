"""`lantern case export --stick`: one file that only the hospital opens, and only when a box it knows made all of it."""

from __future__ import annotations

import io
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from firmware_app.results.errors import EXPORT_NO_HOSPITAL
from firmware_app.uplink.errors import (
    BOX_UNKNOWN,
    CARRIED_CUT,
    CARRIED_ELSEWHERE,
    CARRIED_UNKNOWN,
    CarriedAltered,
    SignatureForged,
)
from firmware_app.uplink.messages import credentials
from firmware_app.uplink.messages.encrypted_files import (
    EXPORT_HEAD_BYTES,
    PIECE_BYTES,
    SealedExportReader,
    SealedExportWriter,
)
from firmware_app.uplink.messages.envelope import compute_key_id, sign
from firmware_app.uplink.messages.summary import Keys, Kind
from hospital import keyring
from hospital.hospital_site import HospitalSite
from tests.exporting_rig import BOX, Box, open_export, write_sealed, write_sealed_case
from tests.exporting_rig import box as box
from tests.exporting_rig import house as house


def test_a_box_without_a_hospital_is_told_to_be_provisioned(box: Box, capsys: pytest.CaptureFixture[str]) -> None:
    assert box.run(way="--stick") == 1
    assert EXPORT_NO_HOSPITAL.code in capsys.readouterr().err
    assert box.read_export_audit() == []


CHANGED: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "a bit of the head": (lambda data: flip_bit(data, EXPORT_HEAD_BYTES - 20), CarriedAltered.code),
    "a bit of the first piece": (lambda data: flip_bit(data, EXPORT_HEAD_BYTES + 3), CarriedAltered.code),
    "a bit of the end": (lambda data: flip_bit(data, len(data) - 1), CarriedAltered.code),
    "one byte less": (lambda data: data[:-1], CARRIED_CUT.code),
    "one byte more": (lambda data: data + b"x", CarriedAltered.code),
    "no head": (lambda data: bytes(EXPORT_HEAD_BYTES) + data[EXPORT_HEAD_BYTES:], CARRIED_UNKNOWN.code),
    "nothing": (lambda data: b"", CARRIED_UNKNOWN.code),
}


def flip_bit(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize("what", CHANGED)
def test_a_changed_file_is_refused_and_leaves_nothing(
    box: Box, house: HospitalSite, tmp_path: Path, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_sealed_case(box, house)
    change, code = CHANGED[what]
    file.write_bytes(change(file.read_bytes()))
    assert open_export(house, file, tmp_path / "out") == 1
    assert code in capsys.readouterr().err
    assert list((tmp_path / "out").iterdir()) == []


def test_another_hospital_cannot_open_it_and_says_so(
    box: Box, house: HospitalSite, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_sealed_case(box, house)
    other = HospitalSite(tmp_path / "other")
    other.set_up("localhost", 8883)
    assert open_export(other, file, tmp_path / "out") == 1
    assert CARRIED_ELSEWHERE.code in capsys.readouterr().err


def test_a_box_that_is_not_enrolled_is_not_believed(
    box: Box, house: HospitalSite, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_sealed_case(box, house)
    house.inbox_db.unlink()
    house.box_bundle_path(BOX).unlink()  # or the box would be known again by it
    assert open_export(house, file, tmp_path / "out") == 1
    assert BOX_UNKNOWN.code in capsys.readouterr().err


def test_who_seals_in_the_name_of_a_box_without_its_key_is_refused_before_anything_is_written(
    box: Box, house: HospitalSite, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    forged = tmp_path / "forged"
    seal_key = keyring.load_keys(house.keys).private[keyring.load_keys(house.keys).current].public_key()
    with forged.open("xb") as handle:
        sealer = SealedExportWriter(handle, BOX, Ed25519PrivateKey.generate(), seal_key)
        sealer.write(b"x" * 1000)
        sealer.finish()
    assert open_export(house, forged, tmp_path / "out") == 1
    assert SignatureForged.code in capsys.readouterr().err
    assert list((tmp_path / "out").iterdir()) == []


def test_a_word_on_keys_that_is_forged_or_older_changes_nothing(house: HospitalSite) -> None:
    bundle, keys = house.load_bundle(), keyring.load_keys(house.keys)
    fresh = X25519PrivateKey.generate().public_key().public_bytes_raw().hex()
    forged = sign(Keys(BOX, 9, fresh).encode(), Kind.KEYS, BOX, Ed25519PrivateKey.generate())
    older = sign(Keys(BOX, bundle.serial, fresh).encode(), Kind.KEYS, BOX, keys.signer)
    newer = sign(Keys(BOX, bundle.serial + 1, fresh).encode(), Kind.KEYS, BOX, keys.signer)
    taken = [
        credentials.choose_seal_key(bundle, BOX, word).public_bytes_raw().hex() for word in (None, forged, older, newer)
    ]
    assert taken == [bundle.seal, bundle.seal, bundle.seal, fresh]


# --- the file itself ------------------------------------------------------------------------------------------------


class Pair:
    """A box and a hospital that know each other."""

    def __init__(self) -> None:
        self.signer, self.private = Ed25519PrivateKey.generate(), X25519PrivateKey.generate()

    def seal(self, path: Path, *content: bytes) -> Path:
        with path.open("xb") as handle:
            sealer = SealedExportWriter(handle, BOX, self.signer, self.private.public_key())
            for piece in content:
                sealer.write(piece)
            sealer.finish()
        return path

    def open(self, path: Path, box: str = BOX) -> bytes:
        with path.open("rb") as handle:
            keys = {compute_key_id(self.private.public_key()): self.private}
            content, whole = SealedExportReader(handle, {box: self.signer.public_key()}, keys), io.BytesIO()
            while piece := content.read(1000):
                whole.write(piece)
            return whole.getvalue()


@pytest.mark.parametrize("size", [0, PIECE_BYTES - 1, PIECE_BYTES, 3 * PIECE_BYTES])
def test_what_was_sealed_comes_out_whatever_its_length(tmp_path: Path, size: int) -> None:
    pair, content = Pair(), bytes(number % 251 for number in range(size))
    assert pair.open(pair.seal(tmp_path / "file", content[:7], content[7:])) == content


def test_pieces_that_change_places_or_come_from_another_file_are_refused(tmp_path: Path) -> None:
    pair, step = Pair(), PIECE_BYTES + 16
    one = bytearray(pair.seal(tmp_path / "one", bytes(3 * PIECE_BYTES)).read_bytes())
    two = pair.seal(tmp_path / "two", bytes(3 * PIECE_BYTES)).read_bytes()
    first, second = (
        slice(EXPORT_HEAD_BYTES, EXPORT_HEAD_BYTES + step),
        slice(EXPORT_HEAD_BYTES + step, EXPORT_HEAD_BYTES + 2 * step),
    )
    mixed = one.copy()
    mixed[first] = two[first]
    one[first], one[second] = one[second], one[first]
    for data in (one, mixed):
        (tmp_path / "bad").write_bytes(data)
        with pytest.raises(CarriedAltered):
            pair.open(tmp_path / "bad")


def test_a_head_speaks_for_one_box_only(tmp_path: Path) -> None:
    pair = Pair()
    data = pair.seal(tmp_path / "file", b"content").read_bytes()
    (tmp_path / "renamed").write_bytes(data.replace(BOX.encode(), b"clinic-8", 1))
    with pytest.raises(CarriedAltered):
        pair.open(tmp_path / "renamed", "clinic-8")


def head(name: str, kind: bytes = tarfile.REGTYPE, size: int = 0) -> bytes:
    entry = tarfile.TarInfo(name)
    entry.type, entry.size = kind, size
    return entry.tobuf(tarfile.GNU_FORMAT)


GOOD = head(f"{'c-' + '0' * 20}/00001.dcm")
HARMFUL = {
    "a path": head("c-00000000000000000000/../../evil"),
    "a name of its own": head("manifest.json"),
    "a name of many megabytes": head("word", tarfile.GNUTYPE_LONGNAME, 48 << 20) + bytes(48 << 20) + GOOD,
    "a size below nothing": head(f"{'c-' + '0' * 20}/00001.dcm", size=-512),
    "one name twice": GOOD + GOOD,
    "two cases": GOOD + head(f"{'c-' + '1' * 20}/00002.dcm"),
    "a link": head(f"{'c-' + '0' * 20}/00001.dcm", tarfile.SYMTYPE),
    "more than is there": head(f"{'c-' + '0' * 20}/00001.dcm", size=5000) + b"x" * 100,
    "no end": GOOD,
}


@pytest.mark.parametrize("what", HARMFUL)
def test_what_a_box_that_was_taken_over_seals_is_refused_in_words(
    box: Box, house: HospitalSite, tmp_path: Path, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    end = b"" if what in ("no end", "more than is there") else bytes(1024)
    file = write_sealed(box, house, HARMFUL[what] + end)
    tracemalloc.start()
    try:
        assert open_export(house, file, tmp_path / "out") == 1
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
    assert CARRIED_UNKNOWN.code in capsys.readouterr().err
    assert list((tmp_path / "out").iterdir()) == []
    assert not list(tmp_path.rglob("evil"))
