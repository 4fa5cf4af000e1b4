"""`make install` and `make uninstall`, with the machine's own Python, make and systemd tools.

The quick tests install into a folder and leave the libraries out (PIP_NO_DEPS); the last two, for `make test-install`,
install all of it without the internet, on a Debian that has nothing yet and on a running systemd, and take it away
again.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.faults.systemd_house import SystemdContainer
from tests.peers import REPOSITORY, need_root, peer, read_debian_release, skip_missing_packages, skip_or_fail

pytestmark = pytest.mark.appliance

PYTHON = Path("/usr/bin/python3")


def make(
    what: str,
    root: Path,
    environment: Mapping[str, str] | None = None,
    stdin: int = subprocess.DEVNULL,
    **variables: object,
) -> tuple[int, str]:
    """Exit status and all that `make WHAT` said, in English."""
    need_root()
    done = subprocess.run(
        [peer("make"), "--silent", what, f"DESTDIR={root}", *(f"{name}={value}" for name, value in variables.items())],
        cwd=REPOSITORY,
        env={**os.environ, "PIP_NO_DEPS": "1", "LC_ALL": "C.UTF-8", **(environment or {})},
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def snapshot_tree(root: Path) -> dict[str, tuple[int, int, int, str]]:
    """Mode, owner, time of change and content of all that lies below *root*."""
    entries = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        content = str(path.readlink()) if path.is_symlink() else path.read_bytes().hex()[:64] if path.is_file() else ""
        changed = 0 if path.is_dir() else status.st_mtime_ns  # the tools lock /etc by a file that comes and goes
        entries[str(path.relative_to(root))] = (status.st_mode, status.st_uid, changed, content)
    return entries


def names(root: Path, table: str) -> set[str]:
    return {line.partition(":")[0] for line in (root / "etc" / table).read_text("utf-8").splitlines()}


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Our own wheel, built as `make wheels` does."""
    folder = tmp_path_factory.mktemp("wheels")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(REPOSITORY)],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return folder


@pytest.fixture(scope="module")
def pristine(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A machine on which a box was installed once; nobody changes it."""
    if not PYTHON.exists() or subprocess.run([PYTHON, "-c", "import ensurepip"], check=False).returncode:
        skip_missing_packages("python3-venv")
    root = tmp_path_factory.mktemp("machine") / "root"
    status, said = make("install", root, WHEELS=wheels)
    assert status == 0, said
    return root


@pytest.fixture
def box(pristine: Path, tmp_path: Path) -> Path:
    """A machine of its own, to be changed; with its owners, which `shutil.copytree` would make root."""
    subprocess.run(["cp", "--archive", str(pristine), str(tmp_path / "root")], check=True)
    return tmp_path / "root"


def test_every_unit_and_rule_of_the_repository_is_installed_and_starts_with_the_machine(pristine: Path) -> None:
    units = pristine / "etc/systemd/system"
    for path in (REPOSITORY / "systemd/units").iterdir():
        assert (units / path.name).read_bytes() == path.read_bytes()
    for path in (REPOSITORY / "systemd/udev").glob("*.rules"):
        assert (pristine / "etc/udev/rules.d" / path.name).read_bytes() == path.read_bytes()
    assert str((units / "multi-user.target.wants/lantern.target").readlink()) == "/etc/systemd/system/lantern.target"
    for path in (REPOSITORY / "systemd/units").glob("*.timer"):
        assert (units / "lantern.target.wants" / path.name).is_symlink(), path.name


def test_a_hospitals_computer_has_its_user_and_units_and_a_second_run_changes_nothing(
    wheels: Path, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    status, said = make("install-hospital", root, WHEELS=wheels)
    assert status == 0, said
    assert "lantern-hospital" in names(root, "passwd")
    for unit in (REPOSITORY / "systemd/hospital").glob("*.service"):
        assert (root / "etc/systemd/system" / unit.name).read_bytes() == unit.read_bytes()
        assert (root / "etc/systemd/system/multi-user.target.wants" / unit.name).is_symlink()
    command = root / "usr/local/bin/lantern-hospital"
    assert str(command.readlink()) == "/opt/lantern-hospital/venv/bin/lantern-hospital"
    assert stat.S_IMODE((root / "var/lib/lantern-hospital").stat().st_mode) == 0o700
    before = snapshot_tree(root)
    assert make("install-hospital", root, WHEELS=wheels)[0] == 0
    assert snapshot_tree(root) == before


def test_what_is_installed_belongs_to_root_and_nobody_else_may_change_it(pristine: Path) -> None:
    for top in ("opt/lantern", "etc/lantern", "etc/systemd", "usr/local/bin"):
        for path in (pristine / top, *(pristine / top).rglob("*")):
            status = path.lstat()
            assert status.st_uid == 0, path
            if not path.is_symlink():
                assert not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH), path
                assert status.st_mode & stat.S_IROTH, path


def test_a_second_installation_changes_nothing_and_says_so(box: Path, wheels: Path) -> None:
    before = snapshot_tree(box)
    status, said = make("install", box, WHEELS=wheels)
    assert status == 0
    assert "nothing was changed" in said
    assert snapshot_tree(box) == before


def test_an_installation_that_was_cut_off_is_finished_by_the_next(box: Path, wheels: Path) -> None:
    before = {path: (entry[0], entry[1], entry[3]) for path, entry in snapshot_tree(box).items()}
    venv = box / "opt/lantern" / (box / "opt/lantern/venv").readlink()
    (venv / "lantern-whole").unlink()
    shutil.rmtree(venv / "bin")
    (box / "etc/systemd/system/lantern-reader.service").write_text("[Unit]\n", "utf-8")
    (box / "opt/lantern/installed.json").unlink()
    status, said = make("install", box, WHEELS=wheels)
    assert status == 0, said
    after = {path: (entry[0], entry[1], entry[3]) for path, entry in snapshot_tree(box).items()}
    compiled = {path for path in before.keys() ^ after.keys() if "__pycache__" in path}
    assert after.keys() - compiled == before.keys() - compiled
    assert all(after[path] == before[path] for path in before if path.startswith(("etc/", "usr/")))


def test_a_wheel_that_was_made_of_another_lantern_is_refused_though_its_version_is_the_same(
    box: Path, wheels: Path, tmp_path: Path
) -> None:
    before = snapshot_tree(box)
    stale = tmp_path / next(wheels.glob("lantern_box-*.whl")).name
    with zipfile.ZipFile(next(wheels.glob("lantern_box-*.whl"))) as now, zipfile.ZipFile(stale, "w") as then:
        for name in now.namelist():
            then.writestr(name, now.read(name) + b"\n" * (name == "firmware_app/core/records.py"))
    status, said = make("install", box, WHEELS=tmp_path)
    assert status != 0
    assert "was not built from the Lantern in this folder (firmware_app/core/records.py" in said
    assert snapshot_tree(box) == before
    shutil.copy(next(wheels.glob("lantern_box-*.whl")), tmp_path / stale.name.replace("-py3-", "-1-py3-"))
    status, said = make("install", box, WHEELS=tmp_path)
    assert status == 0, "the one of the two that is right is taken"
    assert "nothing was changed" in said or "Installing the programs" in said


def test_an_installation_that_fails_leaves_the_one_before_in_use(box: Path, tmp_path: Path) -> None:
    """A folder without any wheel, and no internet to ask instead."""
    before = snapshot_tree(box)
    (tmp_path / "empty").mkdir()
    status, said = make("install", box, WHEELS=tmp_path / "empty")
    assert status != 0
    assert "What was installed before still runs" in said
    assert "make wheels" in said
    assert snapshot_tree(box) | {"opt/lantern/programs": before["opt/lantern/programs"]} == before


def test_uninstalling_keeps_images_and_settings_and_says_so(box: Path, wheels: Path) -> None:
    image = box / "var/lib/lantern/images/ab/abcd.dcm"
    image.parent.mkdir(parents=True)
    image.write_bytes(b"an image")
    status, said = make("uninstall", box)
    assert status == 0, said
    assert "Kept: /var/lib/lantern" in said
    assert "Kept: /etc/lantern" in said
    assert "users and groups, whose files these are" in said
    assert image.read_bytes() == b"an image"
    assert "lantern-reader" in names(box, "passwd")
    left = {path for path in snapshot_tree(box) if "lantern" in path}
    assert all(path.startswith(("var/lib/lantern", "etc/lantern")) for path in left), left
    assert make("install", box, WHEELS=wheels)[0] == 0
    assert image.read_bytes() == b"an image"


@pytest.mark.parametrize("how", [{"PURGE": "1"}, {"KEEP": "config"}, {"KEEP": ""}])
def test_nothing_goes_for_good_unless_somebody_says_so(box: Path, how: dict[str, str]) -> None:
    """From a script, where nobody can be asked, and on a terminal, where the answer is not the word."""
    before = snapshot_tree(box)
    status, said = make("uninstall", box, None, subprocess.DEVNULL, **how)
    assert status != 0
    assert "SURE=yes" in said
    assert snapshot_tree(box) == before
    ours, theirs = os.openpty()
    with os.fdopen(ours, "wb", buffering=0) as keyboard:
        keyboard.write(b"yes\n")
        status, said = make("uninstall", box, None, theirs, **how)
    os.close(theirs)
    assert status != 0
    assert "Nothing was removed." in said
    assert snapshot_tree(box) == before


# --- the whole of it, by `make test-install` ----------------------------------------------------------------------

ASK = """
import ssl, sys, urllib.request
context = ssl.create_default_context(cafile="/var/lib/lantern/front/lantern-ca.crt")
sys.stdout.write(urllib.request.urlopen("https://localhost/healthz", timeout=10, context=context).read().decode())
"""


IN_IT = """
mount -t proc proc "$1/proc" && mount --rbind /dev "$1/dev" && mount --make-rslave "$1/dev"
exec chroot "$1" env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 sh -c "$2"
"""


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The least of this Debian that boots, fresh from Debian: it has no make and no Python."""
    need_root()
    root = tmp_path_factory.mktemp("bare") / "root"
    command = [
        peer("debootstrap"),
        "--variant=minbase",
        "--include=systemd,systemd-sysv",
        read_debian_release(),
        str(root),
    ]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        skip_or_fail(f"Debian cannot be reached: {done.stdout[-200:]}")
    return root


@pytest.mark.install
@pytest.mark.timeout(1800)
def test_a_debian_that_has_nothing_yet_becomes_a_box_as_the_handbook_says_it(bare: Path) -> None:
    def run(script: str) -> str:
        namespaces = ["unshare", "--mount", "--pid", "--fork", "--net", "--kill-child"]  # and no network in them
        done = subprocess.run(
            [*namespaces, "sh", "-c", IN_IT, "sh", str(bare), script],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    for name in ("Makefile", "pyproject.toml", "constraints.txt", "systemd", "firmware_app", "build/wheels"):
        target = bare / "srv/lantern" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", "-a", str(REPOSITORY / name), str(target)], check=True)
    assert not (bare / "usr/bin/python3").exists()
    before, home = run("dpkg-query --show"), run("ls -A /root")
    run("cd /srv/lantern && dpkg -i build/wheels/make_*.deb && make install WHEELS=build/wheels")
    assert "nothing was changed" in run("make --silent -C /srv/lantern install WHEELS=build/wheels")
    run("/opt/lantern/venv/bin/python -m firmware_app.appliance.preparation")
    tested = run("lantern selftest --json || true")
    shipped = [*(REPOSITORY / "models").glob("*/manifest.json")]
    assert tested.count('"selftest.golden_ok"') == len(shipped) > 0, tested
    assert run("ls -A /root") == home, "no library has left an id there"
    run("make --silent -C /srv/lantern uninstall PURGE=1 SURE=yes")
    left = {line.split()[0] for line in run("dpkg-query --show").splitlines()}
    came = left - {line.split()[0] for line in before.splitlines()}
    assert came
    assert not {name for name in came if "nginx" in name or "avahi" in name}, "Python and make stay; the rest goes"


@pytest.mark.install
@pytest.mark.timeout(1800)
def test_a_plain_debian_becomes_a_box_without_the_internet_and_a_plain_debian_again() -> None:
    if not (REPOSITORY / "build/wheels").is_dir():
        skip_or_fail("needs build/wheels; “make test-install” makes it")
    with SystemdContainer(megabytes=4096) as house:
        house.run(
            "mkdir /srv/lantern && cd /opt/lantern/source &&"
            " cp -a Makefile pyproject.toml constraints.txt systemd firmware_app build /srv/lantern && cd / &&"
            " for place in venv python source; do umount /opt/lantern/$place 2>/dev/null || true; done &&"
            " rm -rf /opt/lantern /usr/local/bin/lantern /etc/ld.so.conf.d/lantern-house.conf"
        )
        install = "make --silent -C /srv/lantern install WHEELS=build/wheels"
        said = house.run(install, timeout=1200)
        assert "The box is starting" in said, said
        for process in ("gateway", "reader", "viewer", "web"):
            house.wait_active(f"lantern-{process}.service", 120)
        house.wait("the page", lambda: '"status"' in house.run(_python(ASK), check=False), 60)
        pids = [house.pid(f"lantern-{process}.service") for process in ("gateway", "reader", "viewer", "web")]
        assert "nothing was changed" in house.run(install, timeout=300)
        assert pids == [house.pid(f"lantern-{process}.service") for process in ("gateway", "reader", "viewer", "web")]
        doctor = house.run("lantern doctor --json", check=False)
        assert '"check": "gateway", "result": "ok"' in doctor, doctor

        said = house.run("/opt/lantern/venv/bin/python -m firmware_app.appliance.installation uninstall", timeout=120)
        assert "The box is stopped" in said
        assert house.run("systemctl list-units --all --plain --no-legend 'lantern*'", check=False) == ""
        assert house.run(
            "ls /var/lib/lantern/clinical/clinical.db /etc/lantern/lantern.toml; ls -d /opt/lantern || true"
        )
        assert "clinical.db" in house.run("ls /var/lib/lantern/clinical")
        assert "lantern-reader" in house.run("getent passwd lantern-reader")

        house.run(install, timeout=1200)
        house.wait_active("lantern-viewer.service", 120)
        house.run("make --silent -C /srv/lantern uninstall PURGE=1 SURE=yes", timeout=120)
        left = house.run(
            "ls -d /opt/lantern /etc/lantern /var/lib/lantern /run/lantern /etc/systemd/system/lantern*", check=False
        )
        assert all("No such file" in line or "cannot access" in line for line in left.splitlines()), left
        assert house.run("getent passwd | grep ^lantern", check=False) == ""


def _python(code: str) -> str:
    return f"/opt/lantern/venv/bin/python - <<'CODE'\n{code}\nCODE"
