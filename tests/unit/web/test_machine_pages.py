"""The page of the machines: who called, whether images came, who was turned away and why; no patient."""

from __future__ import annotations

from firmware_app.cases.accounts import Role
from firmware_app.core import run_status
from firmware_app.dicom import association_log
from tests.cases import admit
from tests.viewer import HTML, Desk


def test_a_technician_sees_that_a_machine_was_let_in_that_its_film_came_and_who_was_not(desk: Desk) -> None:
    technician = desk.person("zhou", Role.TECHNICIAN)
    assert "No machine has called yet." in technician.get("/machines", headers=HTML).text
    book = association_log.AssociationLog(desk.state)
    book.record_admission("XRAY1", "192.168.1.20", lacks_nothing=True)
    book.record_admission("US2", "::ffff:192.168.1.21", lacks_nothing=True)
    book.record_rejection("CT9", "LANTERN", "192.168.1.30", association_log.LIMIT)
    book.close()
    made = admit(desk.clinical, 2, association=desk.clinical.open_association("dicom:XRAY1"))
    page = technician.get("/machines", headers=HTML).text
    assert page.index("US2") < page.index("XRAY1")  # the newest first
    for text in ("from 192.168.1.20", "from 192.168.1.21", "1 image came", "no image has come", "CT9", "free place"):
        assert text in page, text
    assert made.case not in page


def test_the_page_names_the_port_that_the_gateway_has_taken(desk: Desk) -> None:
    technician = desk.person("zhou", Role.TECHNICIAN)
    with run_status.hold_process_lock(desk.state, "gateway"):
        run_status.announce_process(desk.state, "gateway", {"port": 40123})
        page = technician.get("/machines", headers=HTML).text
    assert "port 40123" in page
    assert "port 40123" not in technician.get("/machines", headers=HTML).text  # it does not run any more
