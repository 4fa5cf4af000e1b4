"""A hospital that lost its disk, or a part of its inbox: the line goes on with the same boxes."""

from __future__ import annotations

from pathlib import Path

from tests.wire.line_rig import Box, HospitalRig, run_hospital, wait_for
from tests.wire.test_revocation import hospital


def reports(site: HospitalRig, box: Box, number: int) -> None:
    """Study *number* of *box* is read, sent and confirmed."""
    case, relay = box.add_image(number), box.relay()

    def confirmed() -> bool:
        relay.step()
        return (case, 1) in site.list_revisions() and box.exchange.read_status().outgoing == 0

    wait_for(confirmed, 30, f"study {number} is counted and confirmed")


def test_a_backup_from_before_a_rotation_brings_the_line_back(tmp_path: Path) -> None:
    with run_hospital(tmp_path) as site:
        box = site.box("clinic-7")
        site.uplink(box).start()
        reports(site, box, 1)
        assert hospital(site, "backup", str(tmp_path / "copy.tar"))[0] == 0  # while it serves
        site.house.rotate()
        wait_for(lambda: "number 2" in site.receiver.log.read_text(), because="the receiver takes the new key")
        reports(site, box, 2)

        site.receiver.stop()
        site.broker.stop()
        site.inbox.close()
        site.house.root.rename(tmp_path / "lost")
        status, answer = hospital(site, "restore", str(tmp_path / "copy.tar"))
        assert (status, answer["boxes"], answer["cases"]) == (0, 1, 1)
        site.start_broker()
        site.receiver.start()

        reports(site, box, 3)
        assert len(site.list_revisions()) == 2, "the one that was confirmed after the backup is lost, as restore says"


def test_serve_makes_a_damaged_inbox_again_and_counts_on(tmp_path: Path) -> None:
    with run_hospital(tmp_path) as site:
        box = site.box("clinic-7")
        site.uplink(box).start()
        reports(site, box, 1)
        site.receiver.stop()
        site.inbox.close()
        site.house.inbox_db.write_bytes(b"\xa5" * 40_000)
        site.receiver.start()
        wait_for(lambda: "The inbox was damaged" in site.receiver.log.read_text(), because="it says so")
        reports(site, box, 2)
