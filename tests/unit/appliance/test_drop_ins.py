"""What only this box has: granted to the unit that needs it, and to no other."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest

from firmware_app.appliance import preparation, unit_drop_ins
from firmware_app.core.settings import Config, UplinkSection
from firmware_app.core.state_dir import StateDir
from firmware_app.uplink.messages import credentials
from tests.peers import REPOSITORY


def make_drop_ins(root: Path, **sections: dict[str, Any]) -> unit_drop_ins.DropIns:
    config = Config.model_validate({"state": {"dir": str(root)}, **sections})
    return unit_drop_ins.make_drop_ins(config, StateDir(root))


def line(folder: Path) -> dict[str, str]:
    return {"identity": str(folder / "identity.pem"), "tls_key": str(folder / "tls.key")}


def test_a_plain_box_grants_nothing(tmp_path: Path) -> None:
    assert make_drop_ins(tmp_path) == {}


def test_the_lines_keys_are_handed_to_the_uplink_alone(tmp_path: Path) -> None:
    keys = tmp_path / "line"
    keys.mkdir()
    (keys / "identity.pem").touch()
    assert make_drop_ins(tmp_path, uplink=line(keys)) == {
        "lantern-uplink.service": (f"LoadCredential=identity.pem:{keys}/identity.pem",)
    }


def test_keys_that_the_chip_seals_are_unsealed_for_the_uplink(tmp_path: Path) -> None:
    keys, handed = tmp_path / "line", Path("/run/credentials/lantern-uplink.service")
    keys.mkdir()
    for name in ("identity.pem", "tls.key"):
        (keys / f"{name}.sealed").touch()
    assert make_drop_ins(tmp_path, uplink=line(handed))["lantern-uplink.service"] == (
        f"LoadCredentialEncrypted=identity.pem:{keys}/identity.pem.sealed",
        f"LoadCredentialEncrypted=tls.key:{keys}/tls.key.sealed",
    )


def test_the_uplink_uses_what_it_was_handed_and_the_configured_path_of_the_rest(tmp_path: Path) -> None:
    settings = UplinkSection.model_validate(line(Path("/configured")))
    assert credentials.use_systemd_credentials(settings, "") == settings
    (tmp_path / "identity.pem").touch()
    handed = credentials.use_systemd_credentials(settings, str(tmp_path))
    assert (handed.identity, handed.tls_key) == (tmp_path / "identity.pem", Path("/configured/tls.key"))


def test_the_sender_may_dial_an_archive_beyond_the_private_networks_and_no_other(tmp_path: Path) -> None:
    assert make_drop_ins(tmp_path, pacs={"host": "10.0.0.5"}) == {}
    more = {"county": {"host": "203.0.113.9"}}
    assert make_drop_ins(tmp_path, pacs={"host": "10.0.0.5", "more": more}) == {
        "lantern-sender.service": ("IPAddressAllow=203.0.113.9",)
    }
    assert make_drop_ins(tmp_path, pacs={"host": "pacs.clinic"})["lantern-sender.service"] == ("IPAddressAllow=any",)


def test_dicoms_own_port_costs_one_capability_and_the_usual_one_none(tmp_path: Path) -> None:
    assert make_drop_ins(tmp_path, dicom={"port": 11112}) == {}
    lines = make_drop_ins(tmp_path, dicom={"port": 104})["lantern-gateway.service"]
    assert [text for text in lines if "CAP_" in text] == [
        "CapabilityBoundingSet=CAP_NET_BIND_SERVICE",
        "AmbientCapabilities=CAP_NET_BIND_SERVICE",
    ]


def test_networks_folders_and_disks_that_the_configuration_names_are_opened(tmp_path: Path) -> None:
    lines_of = make_drop_ins(
        tmp_path,
        dicom={"allowed_addresses": ["198.51.100.0/24", "203.0.113.7"]},
        folder={"path": "/home/xray/out"},
        backup={"dir": "/mnt/second", "locked": "/mnt/the-share"},
    )
    assert lines_of == {
        "lantern-gateway.service": (
            "IPAddressAllow=198.51.100.0/24 203.0.113.7",
            "ProtectHome=tmpfs",
            "BindReadOnlyPaths=-/home/xray/out",
        ),
        "lantern-backup.service": (
            "ReadWritePaths=-/mnt/second",
            "ReadWritePaths=-/mnt/the-share",
            "InaccessiblePaths=",
            "InaccessiblePaths="
            + " ".join(
                f"-{tmp_path}/{name}"
                for name in ("line", "incoming", "display", "provision", "software", "outgoing", "results")
            ),
            f"ReadOnlyPaths=-{tmp_path}/images",
            "[Unit]",
            r"Wants=mnt-the\x2dshare.mount mnt.mount",
            r"After=mnt-the\x2dshare.mount mnt.mount",
        ),
    }


def test_nobody_but_root_makes_or_renames_anything_in_the_root_of_the_state(tmp_path: Path) -> None:
    """At each boot systemd-tmpfiles makes it and then lantern-setup; `lantern serve` makes one of its own."""
    state = StateDir(tmp_path / "state")
    state.prepare()
    lines = (REPOSITORY / "systemd/lantern.tmpfiles").read_text("utf-8").splitlines()
    (line,) = (words for text in lines if (words := text.split())[1:2] == ["/var/lib/lantern"])
    (_, group, mode), *folders = preparation.list_folders(state)
    assert line == ["d", "/var/lib/lantern", f"{mode:04o}", "root", group, "-"]
    assert stat.S_IMODE(state.root.stat().st_mode) == mode
    assert not mode & (stat.S_IWGRP | stat.S_IWOTH)
    assert {folder for folder, _, mode in folders if not mode & stat.S_IWGRP} == {state.line_keys}


def test_what_an_earlier_version_kept_in_the_root_of_the_state_goes(tmp_path: Path) -> None:
    state = StateDir(tmp_path / "state")
    state.prepare()
    for name in ("ballast", "folder_taken.json", "folder_taken.new"):
        (state.root / name).write_bytes(b"of an earlier version")
    preparation._remove_leftovers(state)
    state.prepare_ballast(1)
    assert not [path.name for path in state.root.iterdir() if path.is_file()]
    assert state.ballast.stat().st_size == 1_000_000


def test_a_box_whose_state_lies_elsewhere_is_told_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "lantern.toml"
    config.write_text(f'[state]\ndir = "{tmp_path}/state"\n', "utf-8")
    assert preparation.main(["--config", str(config)]) == 1
    assert "setup.state_elsewhere" in capsys.readouterr().err
    assert not (tmp_path / "state").exists()
