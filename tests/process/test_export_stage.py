"""While a case is sealed its objects lie on the box's own disk: out of everybody's reach, with room left for images."""

from __future__ import annotations

import errno
import fcntl
import gc
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from firmware_app.appliance import preparation
from firmware_app.cases import export_staging
from firmware_app.cases import exports as store_exports
from firmware_app.cases.exports import Exports
from firmware_app.cli.command_line import main
from firmware_app.core.errors import StateUnusable
from firmware_app.core.state_dir import StateDir, free_bytes
from firmware_app.dicom.storage import empty_incoming
from firmware_app.imaging.errors import EXPORT_NO_ROOM
from firmware_app.results import deidentified_export as export
from firmware_app.results.export_session import ExportOutcome
from hospital.hospital_site import HospitalSite
from tests.exporting_rig import Box, opened, sealed
from tests.exporting_rig import house as house
from tests.peers import need_root
from tests.refusals import raises_refusal
from tests.small_disk import small_disk

_CLINICAL, _NOBODY = 54321, 65534
_KEPT_MB, _BALLAST_MB = 16, 2


@pytest.fixture
def box(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Box]:
    """With the mark `small`, its state and its stick lie on one disk of 24 MB, of which 16 are kept for images."""
    monkeypatch.setenv("LANTERN_BOX__LANGUAGE", "en")
    monkeypatch.setenv("LANTERN_EXPORT__ENABLED", "true")
    if getattr(request, "param", "") != "small":
        monkeypatch.setenv("LANTERN_STATE__DIR", str(tmp_path / "state"))
        yield Box(tmp_path)
        return
    monkeypatch.setenv("LANTERN_STATE__DIR", str(tmp_path / "disk" / "state"))
    monkeypatch.setenv("LANTERN_RETENTION__HIGH_WATER_FREE_MB", str(_KEPT_MB))
    monkeypatch.setenv("LANTERN_RETENTION__BALLAST_MB", str(_BALLAST_MB))
    with small_disk(tmp_path / "disk", "size=24m"):
        made = Box(tmp_path / "disk")
        yield made
        made.clinical.database.close()
        gc.collect()


small = pytest.mark.parametrize("box", ["small"], indirect=True)


@pytest.fixture
def before_sealing(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], None]:
    """Have something done when an object is written and not yet sealed."""
    each = export.export_images

    def do(work: Callable[[], None]) -> None:
        def worked(*arguments: object, **named: object) -> Iterator[ExportOutcome]:
            for one in each(*arguments, **named):  # type: ignore[arg-type]
                work()
                yield one

        monkeypatch.setattr(export, "export_images", worked)

    return do


def stages(state: StateDir) -> list[Path]:
    return sorted(state.root.glob(".exporting-*"))


def test_who_runs_as_the_clinical_group_puts_nothing_in_the_place_of_what_is_sealed(
    box: Box, house: HospitalSite, tmp_path: Path, before_sealing: Callable[[Callable[[], None]], None]
) -> None:
    need_root()
    secret = tmp_path / "secret"
    secret.write_bytes(b"PatientName=Zhang^San" * 200)
    box.state.root.chmod(0o751)
    os.chown(box.state.root, 0, _CLINICAL)
    os.chown(box.state.incoming, 0, _CLINICAL)
    tried: list[int] = []

    def swap() -> None:
        """As the gateway, the importer or the reader would: a link in the place of every file that can be reached."""
        script = 'find incoming .exporting-* -type f -exec ln -sf "$0" {} ";"'
        done = subprocess.run(
            ["/bin/sh", "-c", script, str(secret)],
            cwd=box.state.root,
            user=_NOBODY,
            group=_CLINICAL,
            extra_groups=[],
            stderr=subprocess.DEVNULL,
            check=False,
        )
        tried.append(done.returncode)

    before_sealing(swap)
    assert opened(house, sealed(box), tmp_path / "out") == 0
    assert len(tried) == 2
    for file in (tmp_path / "out").rglob("*.dcm"):
        assert file.read_bytes()[128:132] == b"DICM"
        assert b"Zhang" not in file.read_bytes()
    assert stages(box.state) == []


def test_a_gateway_that_starts_again_takes_nothing_from_an_export(
    box: Box, house: HospitalSite, before_sealing: Callable[[Callable[[], None]], None]
) -> None:
    before_sealing(lambda: empty_incoming(box.state.incoming))
    assert sealed(box).stat().st_size > 0


def test_what_goes_wrong_on_the_box_s_own_disk_is_not_said_of_the_stick(
    box: Box, house: HospitalSite, before_sealing: Callable[[Callable[[], None]], None]
) -> None:
    def lose() -> None:
        for path in (*box.state.incoming.iterdir(), *(file for stage in stages(box.state) for file in stage.iterdir())):
            path.unlink()

    before_sealing(lose)
    with pytest.raises(StateUnusable, match="No such file"):
        box.seal()
    assert list(box.stick.iterdir()) == []


def test_what_a_killed_export_left_goes_at_the_next_export_and_at_the_next_start(box: Box, house: HospitalSite) -> None:
    words = [sys.executable, "-m", "firmware_app", "case", "export", box.case, "--stick", str(box.stick)]
    for then in (lambda: sealed(box), lambda: preparation._clear_away(box.state)):
        killed = subprocess.Popen([*words, "--person", "li", "--looked"], stdout=subprocess.DEVNULL)
        until = time.monotonic() + 60
        while not stages(box.state):  # the child that writes into it is only starting by then
            assert killed.poll() is None
            assert time.monotonic() < until
        killed.kill()
        killed.wait()
        with Exports(box.clinical.database)._locked(fcntl.LOCK_EX, 10.0) as alone:
            assert alone  # a child that had not become its own program by then held it a moment longer
        (left,) = stages(box.state)
        assert left.stat().st_mode & 0o777 == 0o700
        (left / "00001.dcm").write_bytes(b"DICM")
        for path in box.stick.iterdir():
            path.unlink()
        with Exports(box.clinical.database).under_way():
            store_exports.remove_stale_stages(box.state)
            assert stages(box.state) == [left], "one is under way, and this may be its folder"
        then()
        assert stages(box.state) == []
        for path in box.stick.iterdir():
            path.unlink()


def test_a_folder_that_a_person_made_is_not_swept_away(
    box: Box, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "lantern.export")
    name = "0123456789abcdef"
    mine = [box.state.root / one for one in ("export-for-dr-li", f"export-{name}", ".exporting-for-dr-li")]
    shared, other, link = (box.state.root / f".exporting-{digit}{name[1:]}" for digit in "def")
    left = box.state.root / f".exporting-{name}"
    for folder in (*mine, shared, other, left, tmp_path / "far"):
        folder.mkdir(mode=0o700)
        (folder / "00001.dcm").write_text("x")
    shared.chmod(0o755)
    os.chown(other, _NOBODY, _NOBODY)
    link.symlink_to(tmp_path / "far")
    store_exports.remove_stale_stages(box.state)
    assert not left.exists()
    assert [folder.name for folder in (*mine, shared, other, link) if not (folder / "00001.dcm").exists()] == []
    messages = [record.getMessage() for record in caplog.records]
    assert messages == [f".exporting-{name}, which an export that was cut off had left, was taken away"]


@pytest.mark.parametrize("why", ["no locks", "one is under way"])
def test_where_an_export_may_be_under_way_only_what_an_earlier_boot_left_goes(
    box: Box, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    name = "0123456789abcdef"
    earlier, nameless = box.state.root / f".exporting-{name}-{name}", box.state.root / f".exporting-{name}"
    with (
        export_staging.create_stage(box.state) as mine,
        Exports(box.clinical.database).under_way(),
        monkeypatch.context() as patched,
    ):
        for folder in (earlier, nameless):
            folder.mkdir(mode=0o700)
            (folder / "00001.dcm").write_bytes(b"DICM")
        if why == "no locks":
            patched.setattr(fcntl, "flock", no_locks)
        store_exports.remove_stale_stages(box.state)
        assert stages(box.state) == sorted([mine, nameless])
    store_exports.remove_stale_stages(box.state)
    assert stages(box.state) == []


# --- room -----------------------------------------------------------------------------------------------------------


def fill(box: Box, left: int, beside_mb: int = _KEPT_MB) -> None:
    """Leave *left* bytes beside what is kept, for images if nothing else is said."""
    taken = free_bytes(box.state.root) - beside_mb * 1_000_000 - left
    with (box.state.root / "filler").open("wb") as filler:
        os.posix_fallocate(filler.fileno(), 0, taken)


@small
@pytest.mark.parametrize("way", ["--stick", "--to"])
def test_an_export_leaves_the_room_that_images_need(
    box: Box, house: HospitalSite, way: str, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(box, 400_000)
    assert box.run(way=way) == 1
    assert f"{EXPORT_NO_ROOM.code}: The box's own disk has {_KEPT_MB} MB left" in capsys.readouterr().err
    assert free_bytes(box.state.root) > _KEPT_MB * 1_000_000
    assert list(box.stick.iterdir()) == stages(box.state) == []
    assert box.actions == ["export.begun", "export.stopped"]


@small
def test_an_object_that_is_sealed_on_the_box_s_own_disk_is_counted_twice(box: Box, house: HospitalSite) -> None:
    fill(box, 1_500_000)
    with raises_refusal(EXPORT_NO_ROOM):
        box.seal()
    assert box.run() == 0, "one copy has room"


@small
def test_a_disk_that_takes_no_more_images_still_seals_a_case_onto_a_stick(box: Box, house: HospitalSite) -> None:
    with small_disk(box.stick, "size=24m"):
        fill(box, 1_500_000, _BALLAST_MB)
        assert sealed(box).stat().st_size > 0
        assert free_bytes(box.state.root) > _BALLAST_MB * 1_000_000


@small
def test_what_lies_on_the_box_s_own_disk_until_it_is_sealed_leaves_room_for_the_databases(
    box: Box, house: HospitalSite, capsys: pytest.CaptureFixture[str]
) -> None:
    with small_disk(box.stick, "size=24m"):
        fill(box, 400_000, _BALLAST_MB)
        words = ["--stick", str(box.stick), "--person", "li", "--looked"]
        assert main(["case", "export", box.case, *words]) == 1
        said = capsys.readouterr().err
        assert "Delete nothing on it by hand." in said
        assert "room_mb" in said
        assert list(box.stick.iterdir()) == stages(box.state) == []
    assert box.actions == ["export.begun", "export.stopped"]


def test_an_export_to_another_disk_asks_for_no_room_on_the_box_s_own(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANTERN_RETENTION__HIGH_WATER_FREE_MB", str(1 << 40))
    assert box.run() == 1
    with small_disk(box.stick, "size=24m"):
        assert box.run() == 0


def test_a_full_stick_is_named_by_an_open_export_too(box: Box, capsys: pytest.CaptureFixture[str]) -> None:
    with small_disk(box.stick, "size=16k"):
        assert box.run() == 1
        assert f"export.folder: The folder {box.stick} cannot take the export: No space left" in capsys.readouterr().err
        assert list(box.stick.iterdir()) == []
    assert box.actions == ["export.begun", "export.stopped"]
