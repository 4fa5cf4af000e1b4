"""A factory reset under a real systemd: by the command, and by the next start where the power was cut in the middle."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from firmware_app.core.state_dir import StateDir
from tests.faults.systemd_house import SystemdContainer
from tests.films import film, save
from tests.peers import need_root, peer

pytestmark = pytest.mark.appliance

STATE = StateDir(Path("/var/lib/lantern"))
CONFIG = '[box]\nid = "clinic-7"\n[viewer]\nhost = "127.0.0.1"\n[retention]\nhigh_water_free_mb = 16\nballast_mb = 0\n'
CUT = """
import os
from pathlib import Path
from firmware_app.appliance import factory_reset
from firmware_app.core.settings import load_config
from firmware_app.core.state_dir import StateDir
factory_reset._first_settings = lambda *_: os._exit(9)
factory_reset.reset(load_config(), Path("/etc/lantern/lantern.toml"), StateDir(Path("{state}")))
"""
THREE = tuple(f"lantern-{name}.service" for name in ("gateway", "reader", "viewer"))


@pytest.fixture
def box(tmp_path: Path) -> Iterator[SystemdContainer]:
    """A box with an image and an account."""
    need_root()
    with SystemdContainer() as house:
        house.install(CONFIG)
        start(house)
        house.copy(save(tmp_path, "film.dcm", film()), Path("/var/house/film.dcm"))
        house.run(f"{peer('storescu')} -aec LANTERN 127.0.0.1 11112 /var/house/film.dcm")
        house.run("lantern user add li")
        yield house


def start(house: SystemdContainer) -> None:
    house.run("systemctl start lantern.target", timeout=120)
    for unit in THREE:
        house.wait_active(unit, 120)


def require_new(house: SystemdContainer) -> None:
    """It runs, as a box that nobody has provisioned, and nothing of the clinic is left."""
    for unit in THREE:
        house.wait_active(unit, 120)
    assert house.run(f"find {STATE.images} -name '*.dcm'") == ""
    assert "li" not in house.run("lantern user list").split()
    assert 'id = "unprovisioned"' in house.read("/etc/lantern/lantern.toml")
    house.run(f"test ! -e {STATE.factory_reset}")


def test_the_next_start_finishes_what_the_power_has_cut(box: SystemdContainer) -> None:
    box.run("systemctl stop lantern.target 'lantern-*'", timeout=120)
    box.write("/var/house/cut.py", CUT.format(state=STATE.root))
    box.run("/opt/lantern/venv/bin/python /var/house/cut.py", check=False)
    assert box.run(f"find {STATE.images} -name '*.dcm'"), "cut after the keys"
    assert "lantern factory-reset" in box.run("lantern serve 2>&1", check=False)
    box.run("systemctl start lantern.target", timeout=120)
    require_new(box)
    assert box.show("lantern-reset.service", "Result") == "success"
