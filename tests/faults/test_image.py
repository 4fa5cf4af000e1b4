"""The flashed box, by `make test-image` after `make image`: the life of one box, in the order of this file.

It is started new with a security chip, loses its power, takes sticks of four kinds, refuses update files that are not
meant for it, is renewed with the power cut and the stick pulled in the middle, leaves two versions that are no good,
has its disk put into another machine, and ends in a factory reset.  Each test goes on with the disk of the one before.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
from pydicom.uid import generate_uid

from demo import samples
from demo.samples import DemoImage
from firmware_app.ingest.stick_mounting import FileSystem
from systemd.build import disk_image, signing
from tests.faults import flashed_box, sticks
from tests.faults.flashed_box import FlashedBox, Page
from tests.peers import REPOSITORY, need_root, skip_or_fail

pytestmark = [pytest.mark.image, pytest.mark.timeout(6 * 3600)]

BUILD: Final = Path(os.environ.get("LANTERN_IMAGE_BUILD", REPOSITORY / "build"))
GOES_ON: Final = os.environ.get("LANTERN_IMAGE_GOES_ON") == "1"
"""With the disk that an earlier run has left, from the test that is named."""
_READ: Final = r'class="row (?!unread)[a-z]+"'
Switch = Callable[..., FlashedBox]


@pytest.fixture(scope="module")
def original() -> Path:
    need_root()
    found = sorted(BUILD.glob("lantern-[0-9]*.img"))
    if len(found) != 1:
        skip_or_fail("needs build/lantern-VERSION.img; “make image” makes it")
    if not flashed_box.has_room(BUILD, 16):
        skip_or_fail("needs 16 GB of disk in build/")
    return found[0]


@pytest.fixture(scope="module")
def work(original: Path) -> Path:
    folder = BUILD / "image-test"
    if not GOES_ON:
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def version(original: Path) -> str:
    """The one that was flashed."""
    return original.name.removeprefix("lantern-").removesuffix(".img")


@pytest.fixture(scope="module")
def disk(original: Path, work: Path) -> Path:
    box = work / "box.img"
    return box if GOES_ON and box.exists() else flashed_box.new_disk(original, box)


@pytest.fixture
def switch_on(disk: Path, work: Path, request: pytest.FixtureRequest) -> Switch:
    """Start the box: a new PC with a chip, unless said otherwise."""

    def started(name: str, *, efi: bool = True, chip: bool = True) -> FlashedBox:
        return FlashedBox(disk, work / f"{name}.log", efi=efi, chip=work / "chip" if chip else None)

    return started


def test_a_flashed_box_answers_is_set_up_keeps_a_film_through_a_hard_stop_and_reads_it(
    switch_on: Switch, disk: Path, work: Path
) -> None:
    with switch_on("first") as box:
        _report("first start until C-ECHO is answered", box.answers_echo())
        samples.send(samples.load_golden_images()[:1], box.dicom)
        box.cut()
    with switch_on("second") as box:
        box.wait("opened by the machine's chip")
        _report("second start until C-ECHO is answered", box.answers_echo())
        page = Page(box)
        page.set_up()
        page.until("/", _READ)
        _report("second start until the box is set up and the film is read", box.wait("lantern: "))
        _report("second start until the slot is marked good", box.wait("slot A is good"))
        box.cut()
    with flashed_box.config(disk, work) as config:
        names = flashed_box.list_folder(config, "/")
    assert "volume.made" in names
    assert "volume.key" not in names, "the chip alone opens the disk"


def test_sticks_of_four_kinds_are_read_when_they_are_plugged_in(switch_on: Switch, work: Path) -> None:
    film = samples.load_golden_images()[0]
    with switch_on("sticks") as box:
        box.answers_echo()
        page = Page(box)
        page.log_in()
        for number, kind in enumerate(FileSystem, 2):
            box.plug(_stick(work, kind, film))
            page.until("/", rf"(?:{_READ}.*?){{{number}}}", 1200)
            print(f"stick {kind.value}: its film is read", flush=True)
        box.cut()


def test_update_files_that_are_not_meant_for_this_box_are_refused(switch_on: Switch, work: Path, version: str) -> None:
    keys, other = BUILD / "image-keys", work / "other-keys"
    made = [
        _small(work, f"{version}.1", other, name="0-other-key"),
        _small(work, "0.1.0", keys, name="1-older"),
        _small(work, f"{version}.1", keys, name="2-other-machine", compatible="lantern-jetson"),
        _small(work, f"{version}.1", keys, name="3-tampered", damaged=True),
    ]
    with switch_on("refused") as box:
        box.wait("slot A is good")
        box.plug(flashed_box.stick(work / "refused.img", made))
        box.wait("lantern-0-other-key.raucb is not signed by whom this box trusts")
        box.wait(f"Version 0.1.0 is not later than {version}")
        box.wait("lantern-2-other-machine.raucb is for machines of the kind lantern-jetson")
        box.wait("lantern-3-tampered.raucb could not be installed")
        box.cut()


def test_a_renewal_that_is_cut_off_leaves_the_old_version_and_is_done_the_next_time(
    switch_on: Switch, work: Path, version: str
) -> None:
    file = flashed_box.update_file(
        flashed_box.version_after(BUILD / "image/root", work, f"{version}.1", {}), BUILD / "image-keys", work
    )
    stick = flashed_box.stick(work / "renewal.img", [file])
    with switch_on("renewal-cut") as box:
        box.wait("slot A is good")
        box.plug(stick)
        box.wait(f"{version}.1 is being installed")
        box.wait(f"{version}.1: 80 %")
        box.cut()
    with switch_on("renewal-pulled") as box:
        box.wait("slot A is good")
        name = box.plug(stick)
        box.wait(f"{version}.1: 80 %")
        box.pull(name)
        box.wait("could not be installed")
        box.plug(stick)
        box.wait(f"{version}.1 is installed; starting it")
        _report("from the switch-on to the new version marked good", box.wait("slot B is good"))
        page = Page(box)
        page.log_in()
        assert len(re.findall(_READ, page.ask("GET", "/")[1])) == 5, "every film is still there"
        box.cut()


def test_a_version_sent_from_the_page_that_does_not_work_is_left_by_itself_and_the_box_says_why(
    switch_on: Switch, work: Path, version: str
) -> None:
    broken = {"usr/lib/systemd/system/lantern-gateway.service": "[Service]\nExecStart=/bin/false\n"}
    file = flashed_box.update_file(
        flashed_box.version_after(BUILD / "image/root", work, f"{version}.2", broken), BUILD / "image-keys", work
    )
    with switch_on("unfit") as box:
        box.wait("slot B is good")
        page = Page(box)
        page.log_in()
        page.upload(file)
        box.wait(f"{version}.2 is installed; starting it")
        box.wait("slot A is left: gateway")
        box.wait("slot B is good", times=2)
        page.log_in()
        assert "in its self-test these parts failed: gateway" in page.ask("GET", "/software")[1]
        box.plug(flashed_box.stick(work / "unfit.img", [file]))
        box.wait(f"Version {version}.2 ran on this box before and was left")
        box.cut()


def test_a_version_that_does_not_start_is_left_after_three_starts(switch_on: Switch, work: Path, version: str) -> None:
    slot = flashed_box.version_after(BUILD / "image/root", work, f"{version}.3", {})
    with slot.root.open("r+b") as root:  # no longer what its kernel expects
        root.write(bytes(4096))
    file = flashed_box.update_file(slot, BUILD / "image-keys", work)
    with switch_on("unstarted") as box:
        box.wait("slot B is good")
        box.plug(flashed_box.stick(work / "unstarted.img", [file]))
        box.wait("slot A was left: it did not start")
        assert box.screen_text.count("the system in root-a is not whole") == 3
        box.cut()


def test_in_another_machine_the_disk_opens_for_its_recovery_key_alone_which_is_roots_password(
    switch_on: Switch, work: Path
) -> None:
    key = _recovery_key((work / "first.log").read_text("utf-8", "replace"))
    with switch_on("other-machine", chip=False) as box:
        box.wait("recovery key of this box's disk:")
        box.type("abcd-efgh")
        box.wait("this is not the recovery key")
        box.wait("recovery key of this box's disk:", times=2)
        box.type(key)
        box.wait("opened by the recovery key")
        box.answers_echo()
        box.type("root")
        box.wait("Password:")
        box.type(key)
        box.type("lantern pack list")
        box.wait("chest-xray-child")
        box.cut()


def test_a_factory_reset_from_the_boot_menu_leaves_a_new_box(switch_on: Switch, work: Path) -> None:
    with switch_on("reset") as box:
        for _ in range(60):  # the firmware passes over it; the menu stops at it, on its last entry
            box.press("down")
            time.sleep(1.0)
        box.press("ret")
        box.wait("Type DELETE and Enter")
        box.type("DELETE")
        box.wait("the key of the state's disk is erased")
        box.wait("the state's disk is ready, and encrypted")
        box.wait("give this code: ")
        before = (work / "first.log").read_text("utf-8", "replace")
        assert _recovery_key(box.screen_text) != _recovery_key(before)
        page = Page(box)
        page.set_up()
        page.log_in()
        assert not re.findall(_READ, page.ask("GET", "/")[1]), "no film of the clinic before"
        box.cut()


def _recovery_key(said: str) -> str:
    return str(re.findall(r"away from the box: (\S+)", said)[-1])


def _stick(work: Path, kind: FileSystem, film: DemoImage) -> Path:
    content = work / f"content-{kind.value}"
    content.mkdir(exist_ok=True)
    own = film.dataset
    own.PatientID = own.PatientName = f"STICK-{kind.value}"  # one row each on the worklist
    own.SOPInstanceUID = own.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    own.StudyInstanceUID, own.SeriesInstanceUID = generate_uid(), generate_uid()
    own.save_as(content / "IMG0001.dcm", enforce_file_format=True)
    image = work / f"stick-{kind.value}.img"
    if kind is FileSystem.FAT:
        return sticks.fat(image, content)
    return sticks.disc(image, content) if kind is FileSystem.ISO9660 else sticks.write_stick(image, content, kind)


def _small(
    work: Path, version: str, keys: Path, *, name: str, compatible: str = disk_image.COMPATIBLE, damaged: bool = False
) -> Path:
    """A signed file of a megabyte, which no box takes."""
    folder = work / name
    folder.mkdir(exist_ok=True)
    for part in ("root.img", "boot.img"):
        (folder / part).write_bytes(os.urandom(1 << 20))
    bundle = work / f"lantern-{name}.raucb"
    slot = disk_image.Slot(version, folder / "root.img", folder / "boot.img")
    disk_image.make_bundle(slot, signing.load_keys(keys), folder, bundle, compatible)
    if damaged:
        with bundle.open("r+b") as file:
            file.seek(1 << 19)
            file.write(b"\0" * 65536)
    return bundle


def _report(what: str, seconds: float) -> None:
    print(f"{what}: {seconds:.0f} s", flush=True)
