"""The ground of an installation: refused before anything is changed, and on record before anything comes.

apt and dpkg are the real ones, on packages and lists of their own (apt.conf(5), DPKG_ROOT of dpkg(1)).
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pytest

from firmware_app.appliance.errors import (
    INSTALL_PACKAGED,
    INSTALL_WHEELS_FOREIGN,
    InstallWheelDamaged,
    InstallWheelStale,
)
from firmware_app.appliance.installation import installer, programs, system_packages, uninstaller
from firmware_app.appliance.installation.kind import MADE_FOR, Platform
from firmware_app.appliance.installation.product import AVAHI, BOX, HOSPITAL, UNITS, Product, map_to_package_path
from firmware_app.appliance.installation.programs import ProgramSource
from firmware_app.appliance.installation.target_system import InstallationRecord, TargetSystem
from tests.peers import REPOSITORY, need_root, needed, peer
from tests.refusals import raises_refusal

_DEBS = {"nginx": "nginx-common", "nginx-common": "", "avahi-daemon": "", "ntfs-3g": "", "fonts-noto-cjk": ""}
_OF_THE_HOSPITAL = {"mosquitto": ""}
_PROGRAM = {
    "nginx": "usr/sbin/nginx",
    "nginx-common": "etc/nginx/nginx.conf",
    "avahi-daemon": "usr/sbin/avahi-daemon",
    "ntfs-3g": "usr/bin/ntfs-3g",
    "fonts-noto-cjk": "usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc",
    "mosquitto": "usr/sbin/mosquitto",
}
PORTLESS = replace(BOX, ports=())
"""Whether this machine has them free is no matter of the test."""
_MASK = "etc/systemd/system/nginx.service"
_APT = """
Dir::State::status "{root}/var/lib/dpkg/status";
Dir::State "{root}/var/lib/apt";
Dir::Cache "{root}/var/cache/apt";
Dir::Log "{root}/var/log/apt";
Dir::Etc "{root}/etc/apt";
DPkg::Options {{ "--root={root}"; "--log=/dev/null"; }};
DPkg::Pre-Invoke {{ "{meanwhile}"; }};
DPkg::Post-Invoke {{ "{after}"; }};
APT::Architecture "all";
"""


class PowerCutError(Exception):
    """Here and now."""


class Running(TargetSystem):
    """A folder in the place of the running machine, whose apt and dpkg work in it."""

    @property
    def is_running_system(self) -> bool:
        return True

    @property
    def has_systemd(self) -> bool:
        return False


class UnderSystemd(Running):
    """The same with systemd; tests put something in the place of `run`."""

    @property
    def has_systemd(self) -> bool:
        return True


@dataclass(frozen=True)
class Place:
    machine: Running
    source: ProgramSource
    apt: Callable[..., None]
    """Says what apt does just before the packages come, and just after."""

    @property
    def root(self) -> Path:
        return self.machine.root

    @property
    def wheel(self) -> Path:
        assert self.source.wheels is not None
        return self.source.wheels / "lantern_box-1.0-py3-none-any.whl"


def deb(folder: Path, name: str, needs: str) -> str:
    """A Debian package of one file, and its entry in the folder's list."""
    tree = folder / f"{name}.tree"
    control = f"Package: {name}\nVersion: 1\nArchitecture: all\nMaintainer: nobody\nDescription: a stand-in\n"
    control += f"Depends: {needs}\n" if needs else ""
    (tree / _PROGRAM[name]).parent.mkdir(parents=True)
    (tree / _PROGRAM[name]).touch()
    (tree / "DEBIAN").mkdir()
    (tree / "DEBIAN" / "control").write_text(control, "utf-8")
    made = folder / f"{name}_1_all.deb"
    subprocess.run([peer("dpkg-deb"), "--build", str(tree), str(made)], check=True, stdout=subprocess.DEVNULL)
    shutil.rmtree(tree)
    data = made.read_bytes()
    return f"{control}Filename: ./{made.name}\nSize: {len(data)}\nSHA256: {hashlib.sha256(data).hexdigest()}\n"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A machine with nothing but `ip`, an unpacked Lantern of one file, and its folder of wheels."""
    need_root()
    needed("systemctl", "apt-get", "dpkg-deb")
    root, tree, wheels = tmp_path / "root", tmp_path / "lantern", tmp_path / "wheels"
    for folder in (
        "usr/bin",
        "var/lib/dpkg/updates",
        "var/lib/dpkg/info",
        "var/lib/apt/lists",
        "var/cache/apt",
        "var/log/apt",
        "etc/apt",
    ):
        (root / folder).mkdir(parents=True)
    (root / "usr/bin/ip").touch()
    for file in ("var/lib/dpkg/status", "etc/passwd", "etc/group", "etc/shadow", "etc/gshadow"):
        (root / file).touch()
    shutil.copytree(REPOSITORY / "systemd", tree / "systemd")
    (tree / "firmware_app/core").mkdir(parents=True)
    (tree / "firmware_app/core/records.py").write_bytes(b"NUMBER = 1\n" * 50)
    (tree / "constraints.txt").touch()
    wheels.mkdir()
    debs = _DEBS | _OF_THE_HOSPITAL
    (wheels / "Packages").write_text("\n".join(deb(wheels, name, needs) for name, needs in debs.items()), "utf-8")

    def apt(meanwhile: str = "true", after: str = "true") -> None:
        (tmp_path / "apt.conf").write_text(_APT.format(root=root, meanwhile=meanwhile, after=after), "utf-8")

    apt()
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "apt.conf"))
    monkeypatch.setenv("DPKG_ROOT", str(root))
    monkeypatch.setenv("DPKG_ADMINDIR", str(root / "var/lib/dpkg"))
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    monkeypatch.setattr(sys, "base_prefix", "/usr")
    made = Place(Running(root), ProgramSource(tree, wheels, ""), apt)
    pack(made)
    return made


def pack(place: Place, content: bytes | None = None) -> None:
    with zipfile.ZipFile(place.wheel, "w", zipfile.ZIP_DEFLATED) as made:
        name = "firmware_app/core/records.py"
        made.writestr(name, (place.source.tree / name).read_bytes() if content is None else content)


def list_tree(root: Path) -> set[Path]:
    return set(root.rglob("*"))


def install(place: Place) -> InstallationRecord:
    record = place.machine.record or InstallationRecord()
    system_packages.install_packages(BOX, place.machine, record, place.source)
    return record


def read_recorded_packages(place: Place) -> list[str]:
    record = place.machine.record
    return record.packages if record else []


# --- refused before anything is changed ------------------------------------------------------------------------------


def change_package(place: Place) -> None:
    pack(place, b"NUMBER = 2\n")


def cut(place: Place) -> None:
    place.wheel.write_bytes(place.wheel.read_bytes()[:-30])


def empty(place: Place) -> None:
    place.wheel.write_bytes(b"")


@pytest.mark.parametrize("spoil", [change_package, cut, empty])
def test_a_wheel_that_cannot_be_used_is_refused_before_any_package_comes(
    place: Place, spoil: Callable[[Place], None]
) -> None:
    spoil(place)
    before = list_tree(place.root)
    with pytest.raises(InstallWheelStale if spoil is change_package else InstallWheelDamaged) as refused:
        installer.install(PORTLESS, place.machine, place.source)
    assert place.wheel.name in refused.value.text("en")
    assert list_tree(place.root) == before


@pytest.mark.parametrize("mistake", [{"system": "ubuntu 24.04 x86_64"}, {"python": "3.99"}], ids=["system", "python"])
def test_wheels_of_another_machine_are_refused_with_both_names_before_any_package_comes(
    place: Place, mistake: dict[str, str]
) -> None:
    (place.root / "etc/os-release").write_text('ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian 12 (bookworm)"\n')
    here = Platform.detect(place.root)
    assert place.source.wheels is not None
    made_for = place.source.wheels / MADE_FOR
    made_for.write_text(json.dumps({**asdict(here), "name": "the other one", **mistake}), "utf-8")
    before = list_tree(place.root)
    with raises_refusal(INSTALL_WHEELS_FOREIGN) as refused:
        installer.install(PORTLESS, place.machine, place.source)
    sentence = refused.value.text("en")
    assert "Debian 12 (bookworm)" in sentence
    assert "the other one" in sentence
    with raises_refusal(INSTALL_WHEELS_FOREIGN):
        installer.install(HOSPITAL, place.machine, place.source)
    assert list_tree(place.root) == before
    made_for.write_text(json.dumps(asdict(here)), "utf-8")
    installer._check_wheels(place.machine, place.source)


def test_where_there_is_no_python_yet_the_shell_refuses_them(place: Place) -> None:
    """And takes those of this machine, whose own words for itself are the same in both."""
    assert place.source.wheels is not None
    made_for = place.source.wheels / MADE_FOR
    script = ["sh", str(place.source.tree / "systemd/packages.sh"), str(place.source.wheels), "ntfs-3g"]
    foreign = replace(Platform.detect(), system="ubuntu 24.04 x86_64")
    for kind, status in ((foreign, 1), (Platform.detect(), 0)):
        made_for.write_text(json.dumps(asdict(kind), indent=1), "utf-8")
        done = subprocess.run(script, capture_output=True, text=True, check=False)
        assert done.returncode == status, done.stderr
        assert ("ubuntu 24.04 x86_64" in done.stderr) is (status == 1)
        assert (place.root / "usr/bin/ntfs-3g").exists() is (status == 0)


# --- on record before it comes ---------------------------------------------------------------------------------------


def test_what_came_with_lantern_is_on_record_before_it_comes_and_goes_with_it(place: Place) -> None:
    seen = place.root / "seen.json"
    place.apt(meanwhile=f"test -e {seen} || cp {place.root}/opt/lantern/installed.json {seen}")
    install(place)
    assert all(f'"{name}"' in seen.read_text("utf-8") for name in _DEBS), "also what they need themselves"
    assert read_recorded_packages(place) == sorted(_DEBS)
    assert (place.root / "usr/sbin/nginx").exists()
    place.apt()
    uninstaller._remove_packages(place.machine, InstallationRecord(packages=[*_DEBS, "never-came"]))
    assert not (place.root / "usr/sbin/nginx").exists()
    assert not system_packages.list_present()


def test_an_installation_that_was_killed_in_the_middle_of_it_is_finished_and_leaves_nothing_unrecorded(
    place: Place,
) -> None:
    place.apt(meanwhile="kill -9 $LANTERN_INSTALLER; exit 1")
    child = os.fork()
    if child == 0:
        try:
            os.environ["LANTERN_INSTALLER"] = str(os.getpid())
            install(place)
        finally:
            os._exit(0)
    assert os.waitpid(child, 0)[1] == 9
    assert read_recorded_packages(place) == sorted(_DEBS)
    assert (place.root / _MASK).is_symlink()
    place.apt()
    install(place)
    assert read_recorded_packages(place) == sorted(_DEBS)
    assert not os.path.lexists(place.root / _MASK)


def test_files_are_on_record_before_they_are_written(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def power_cut(*_: object) -> None:
        raise PowerCutError

    files = BOX.collect_files(place.source.tree)
    monkeypatch.setattr(TargetSystem, "link", power_cut)
    with pytest.raises(PowerCutError):
        installer._place(BOX, place.machine, InstallationRecord(), files)
    record = place.machine.record
    assert record is not None
    assert set(record.files) == {str(path) for path in files}


def test_an_upgrade_stops_the_box_and_writes_the_units_right_after_the_switch(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old units with new programs do not start: whatever takes time comes after the units, or before the switch."""
    machine = UnderSystemd(place.root)
    kept = machine.resolve("opt/lantern/programs")
    fresh = kept / place.source.compute_stamp()
    for folder in (kept / "oldest", kept / "old", fresh):
        folder.mkdir(parents=True)
    (fresh / "lantern-whole").touch()
    machine.link(machine.prefix / "venv", "programs/old")
    machine.write_file(UNITS / BOX.starts[-1], b"of the old version")
    machine.save_record(InstallationRecord(running="the old version"))
    stopped: list[str] = []

    def run(*command: str, **_: object) -> None:
        if command[:3] != ("systemctl", "stop", BOX.starts[-1]):
            raise PowerCutError
        stopped.append(programs.read_stamp_in_use(machine))

    monkeypatch.setattr(system_packages, "install_packages", lambda *_: None)
    monkeypatch.setattr(installer, "run", run)
    with pytest.raises(PowerCutError):
        installer.install(PORTLESS, machine, place.source)
    assert stopped == ["old"]
    assert programs.read_stamp_in_use(machine) == fresh.name
    assert machine.resolve(UNITS / BOX.starts[-1]).read_bytes() != b"of the old version"
    assert (kept / "oldest").exists()
    record = machine.record
    assert record is not None
    assert record.running == "", "the next installation starts the box"


# --- the removal -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", [BOX, HOSPITAL], ids=lambda what: what.name)
def test_the_package_takes_over_what_make_install_made_and_make_then_refuses(
    place: Place, monkeypatch: pytest.MonkeyPatch, what: Product
) -> None:
    machine = replace(Running(place.root), prefix=what.prefix)
    source = replace(place.source, as_given=what.as_given)
    fresh = machine.resolve(what.prefix / "programs") / source.compute_stamp()
    fresh.mkdir(parents=True)
    (fresh / "lantern-whole").touch()
    installer._place(what, machine, InstallationRecord(), what.collect_files(place.source.tree))
    machine.write_file(map_to_package_path(UNITS) / what.starts[-1], b"[Unit]\n")  # dpkg has unpacked
    for name in ("_make_users", "_enable"):
        monkeypatch.setattr(installer, name, lambda *_: None)
    monkeypatch.setattr(programs, "finish", lambda *_: None)
    installer.configure(what, machine, source)
    assert not list(machine.resolve(UNITS).glob("lantern*"))
    assert not machine.resolve(what.command).is_symlink()
    assert machine.resolve(AVAHI).exists() == (what is BOX), "it lies where the package has it"
    with raises_refusal(INSTALL_PACKAGED):
        installer.install(what, machine, place.source)
    if what is BOX:
        with raises_refusal(INSTALL_PACKAGED):
            uninstaller.announce_removal(machine, set())
