"""`lantern case export --stick`: one file that only the hospital opens, and only when a box it knows made all of it."""

from __future__ import annotations

import io
import resource
import signal
import tarfile
import tracemalloc
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from PIL import Image

from firmware_app.cli.command_line import main
from firmware_app.core.errors import LanternError
from firmware_app.core.settings import Config
from firmware_app.results import sealed_case
from firmware_app.results.errors import EXPORT_CASE_TOO_LARGE, EXPORT_NO_HOSPITAL, EXPORT_NO_SIGNER, ExportThere
from firmware_app.uplink.errors import (
    BOX_UNKNOWN,
    CARRIED_CUT,
    CARRIED_ELSEWHERE,
    CARRIED_UNKNOWN,
    CarriedAltered,
    SignatureForged,
)
from firmware_app.uplink.messages import encrypted_files
from firmware_app.uplink.messages.encrypted_files import (
    EXPORT_HEAD_BYTES,
    PIECE_BYTES,
    SealedExportReader,
    SealedExportWriter,
)
from firmware_app.uplink.messages.envelope import key_id, sign
from firmware_app.uplink.messages.summary import Keys, Kind
from hospital import cli as hospital_cli
from hospital import keyring
from hospital.hospital_site import HospitalSite
from tests import films
from tests.exporting_rig import BOX, Box, carried, carried_as, opened
from tests.exporting_rig import box as box
from tests.exporting_rig import house as house
from tests.refusals import raises_refusal


def test_a_box_without_a_hospital_is_told_to_be_provisioned(box: Box, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["case", "export", box.case, "--stick", str(box.stick), "--person", "li"]) == 1
    output = capsys.readouterr().err
    assert EXPORT_NO_HOSPITAL.code in output
    assert "Provision it first" in output
    assert box.audited() == []


def test_nothing_is_written_over_by_either_side(
    box: Box, house: HospitalSite, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = b"another export"
    (box.stick / f"{box.case}{sealed_case.SUFFIX}").write_bytes(before)
    assert box.run(way="--stick") == 1
    assert ExportThere.code in capsys.readouterr().err
    assert [path.read_bytes() for path in box.stick.iterdir()] == [before]
    file = carried(box, house)
    assert opened(house, file, tmp_path / "out") == 0
    (tmp_path / "out" / f"{BOX}-{box.case}" / "00001.dcm").write_text("mine")
    assert opened(house, file, tmp_path / "out") == 1
    assert "hospital.carried_there" in capsys.readouterr().err
    assert (tmp_path / "out" / f"{BOX}-{box.case}" / "00001.dcm").read_text() == "mine"
    assert [path.name for path in (tmp_path / "out").iterdir()] == [f"{BOX}-{box.case}"]


@pytest.mark.parametrize("at", ["head", "first piece", "last byte"])
def test_one_changed_bit_anywhere_is_refused_and_leaves_nothing(
    box: Box, house: HospitalSite, tmp_path: Path, at: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = carried(box, house)
    data = bytearray(file.read_bytes())
    data[{"head": EXPORT_HEAD_BYTES - 20, "first piece": EXPORT_HEAD_BYTES + 3, "last byte": -1}[at]] ^= 1
    file.write_bytes(data)
    assert opened(house, file, tmp_path / "out") == 1
    assert CarriedAltered.code in capsys.readouterr().err
    assert list((tmp_path / "out").iterdir()) == []


def test_a_shortened_file_and_one_without_its_head_are_no_cases(
    box: Box, house: HospitalSite, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = carried(box, house)
    whole = file.read_bytes()
    for data, code in (
        (whole[:-1], CARRIED_CUT.code),
        (whole[: EXPORT_HEAD_BYTES + 100], CARRIED_CUT.code),
        (whole + b"x", CarriedAltered.code),
        (bytes(EXPORT_HEAD_BYTES) + whole[EXPORT_HEAD_BYTES:], CARRIED_UNKNOWN.code),
        (whole[: EXPORT_HEAD_BYTES - 1], CARRIED_UNKNOWN.code),
        (b"", CARRIED_UNKNOWN.code),
        (b"DICM" * 100, CARRIED_UNKNOWN.code),
    ):
        file.write_bytes(data)
        assert opened(house, file, tmp_path / "out") == 1
        assert code in capsys.readouterr().err
        assert list((tmp_path / "out").iterdir()) == []


def test_a_file_or_a_folder_that_is_not_there_is_named(
    box: Box, house: HospitalSite, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert opened(house, tmp_path / "none", tmp_path / "out") == 1
    assert f"{tmp_path / 'none'} cannot be used: No such file" in capsys.readouterr().err
    words = ["open", str(carried(box, house)), "--out", str(tmp_path / "no" / "out"), "--dir", str(house.root)]
    assert hospital_cli.main(words) == 1
    assert f"cannot be stored in {tmp_path / 'no' / 'out'}: No such file" in capsys.readouterr().err


def test_a_folder_that_fails_when_the_case_has_got_its_name_is_as_it_was(
    box: Box, house: HospitalSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sync, out = keyring.sync, tmp_path / "out"

    def failing(folder: Path) -> None:
        if folder == out:
            raise OSError(5, "Input/output error")
        sync(folder)

    file = carried(box, house)
    monkeypatch.setattr(keyring, "sync", failing)
    assert opened(house, file, out) == 1
    assert f"cannot be stored in {out}: Input/output error" in capsys.readouterr().err
    assert list(out.iterdir()) == []
    monkeypatch.undo()
    assert opened(house, file, out) == 0


def test_another_hospital_cannot_open_it_and_says_so(
    box: Box, house: HospitalSite, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = carried(box, house)
    other = HospitalSite(tmp_path / "other")
    other.establish("localhost", 8883)
    assert opened(other, file, tmp_path / "out") == 1
    assert CARRIED_ELSEWHERE.code in capsys.readouterr().err


def test_a_box_that_is_not_enrolled_is_not_believed(
    box: Box, house: HospitalSite, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = carried(box, house)
    house.inbox_db.unlink()
    house.box_bundle(BOX).unlink()  # or the box would be known again by it
    assert opened(house, file, tmp_path / "out") == 1
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
    assert opened(house, forged, tmp_path / "out") == 1
    assert SignatureForged.code in capsys.readouterr().err
    assert list((tmp_path / "out").iterdir()) == []


def test_a_word_on_keys_that_is_forged_or_older_changes_nothing(house: HospitalSite) -> None:
    bundle, keys = house.bundle(), keyring.load_keys(house.keys)
    fresh = X25519PrivateKey.generate().public_key().public_bytes_raw().hex()
    forged = sign(Keys(BOX, 9, fresh).encode(), Kind.KEYS, BOX, Ed25519PrivateKey.generate())
    older = sign(Keys(BOX, bundle.serial, fresh).encode(), Kind.KEYS, BOX, keys.signer)
    newer = sign(Keys(BOX, bundle.serial + 1, fresh).encode(), Kind.KEYS, BOX, keys.signer)
    taken = [
        encrypted_files.choose_seal_key(bundle, BOX, word).public_bytes_raw().hex()
        for word in (None, forged, older, newer)
    ]
    assert taken == [bundle.seal, bundle.seal, bundle.seal, fresh]


def test_a_signing_key_that_cannot_be_read_is_said_and_nothing_is_written(
    box: Box, house: HospitalSite, capsys: pytest.CaptureFixture[str]
) -> None:
    (box.state.line_keys / "identity.pem").unlink()
    assert box.run(way="--stick") == 1
    assert EXPORT_NO_SIGNER.code in capsys.readouterr().err
    assert list(box.stick.iterdir()) == []
    assert box.audited() == []


def test_a_case_of_which_nothing_may_leave_makes_no_sealed_file(
    box: Box, house: HospitalSite, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(films.shapes(3)).convert("L").save(box.folder / "film.png")
    case = box.take(box.folder / "film.png")
    assert main(["case", "export", case, "--stick", str(box.stick), "--person", "li", "--looked"]) == 3
    assert "export.not_dicom" in capsys.readouterr().out
    assert list(box.stick.iterdir()) == []


def test_a_folder_where_no_stick_was_mounted_is_told_on_a_box_with_two_disks_too() -> None:
    """As `/media/stick` is, when the state is a disk of its own: here each is what the other one is not."""

    def told(path: str, state: str) -> str:
        said = {"state": {"dir": state}, "box": {"language": "en"}}
        return sealed_case.describe_sealed_file(Path(path), Config.model_validate(said))

    assert "mount it there" in told("/etc/passwd", "/proc")
    assert "mount it there" in told("/proc/version", "/proc")
    assert "Unmount the stick" in told("/proc/version", "/etc")


def test_a_stick_that_takes_no_file_so_large_says_what_would(tmp_path: Path) -> None:
    """A limit of the process on the size of its files ends a write as FAT32 does at 4 GB, with EFBIG."""
    limits, ignored = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, limits[1]))
        with raises_refusal(EXPORT_CASE_TOO_LARGE), sealed_case._open_unfinished(tmp_path / "case") as handle:
            handle.write(bytes(2 << 20))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    assert list(tmp_path.iterdir()) == []


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
            keys = {key_id(self.private.public_key()): self.private}
            content, whole = SealedExportReader(handle, {box: self.signer.public_key()}, keys), io.BytesIO()
            while piece := content.read(1000):
                whole.write(piece)
            return whole.getvalue()


@pytest.mark.parametrize("size", [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES])
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
    with pytest.raises(LanternError) as refused:
        pair.open(tmp_path / "renamed", "clinic-8")
    assert isinstance(refused.value, CarriedAltered)


def test_a_large_case_needs_no_large_memory(tmp_path: Path) -> None:
    pair, piece, count = Pair(), bytes(1 << 20), 48
    tracemalloc.start()
    try:
        pair.seal(tmp_path / "file", *(piece for _ in range(count)))
        with (tmp_path / "file").open("rb") as handle:
            keys = {key_id(pair.private.public_key()): pair.private}
            content = SealedExportReader(handle, {BOX: pair.signer.public_key()}, keys)
            content.finish()
        assert tracemalloc.get_traced_memory()[1] < 6 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", ["../evil", "c-00000000000000000000/../../evil", "/etc/evil", "manifest.json"])
def test_what_a_box_may_not_name_is_not_unpacked(box: Box, house: HospitalSite, tmp_path: Path, name: str) -> None:
    file = carried(box, house, name)
    assert opened(house, file, tmp_path / "out") == 1
    assert list((tmp_path / "out").iterdir()) == []
    assert not list(tmp_path.rglob("evil"))


def head(name: str, kind: bytes = tarfile.REGTYPE, size: int = 0) -> bytes:
    entry = tarfile.TarInfo(name)
    entry.type, entry.size = kind, size
    return entry.tobuf(tarfile.GNU_FORMAT)


def told(words: bytes, kind: bytes = tarfile.XHDTYPE) -> bytes:
    """A head whose words stand for the name or the size of the next file."""
    return head("word", kind, len(words)) + words.ljust(512, b"\0")


GOOD = head(f"{'c-' + '0' * 20}/00001.dcm")
HARMFUL = {
    "heads in each other": told(b"x" * 10, tarfile.GNUTYPE_LONGNAME) * 2000 + GOOD,
    "a length that is no number": told(b"99999999999999999999999999999999 a=b\n") + GOOD,
    "a map of holes that is none": told(b"20 GNU.sparse.map=x\n") + GOOD,
    "another name than its own": told(b"48 path=c-00000000000000000000/00001.dcm\n") + head("../../evil"),
    "a size below nothing": head(f"{'c-' + '0' * 20}/00001.dcm", size=-512),
    "one name twice": GOOD + GOOD,
    "two cases": GOOD + head(f"{'c-' + '1' * 20}/00002.dcm"),
    "a link": head(f"{'c-' + '0' * 20}/00001.dcm", tarfile.SYMTYPE),
    "a name in no letters of ours": head(f"{'c-' + '0' * 20}/片.dcm"),
    "more than is there": head(f"{'c-' + '0' * 20}/00001.dcm", size=5000) + b"x" * 100,
    "no end": GOOD,
    "nothing": b"",
}


@pytest.mark.parametrize("what", HARMFUL)
def test_what_a_box_that_was_taken_over_seals_is_refused_in_words(
    box: Box, house: HospitalSite, tmp_path: Path, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    end = b"" if what in ("no end", "more than is there", "nothing") else bytes(1024)
    assert opened(house, carried_as(box, house, HARMFUL[what] + end), tmp_path / "out") == 1
    assert CARRIED_UNKNOWN.code in capsys.readouterr().err
    assert list((tmp_path / "out").iterdir()) == []


def test_a_name_of_many_megabytes_is_not_read(box: Box, house: HospitalSite, tmp_path: Path) -> None:
    file = carried_as(box, house, head("word", tarfile.GNUTYPE_LONGNAME, 48 << 20) + bytes(48 << 20) + GOOD)
    tracemalloc.start()
    try:
        assert opened(house, file, tmp_path / "out") == 1
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_a_stick_that_fails_at_the_head_is_named(tmp_path: Path) -> None:
    class Ill(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise OSError(5, "Input/output error")

    with pytest.raises(CarriedAltered, match="piece 0"):
        SealedExportReader(Ill(), {}, {})
