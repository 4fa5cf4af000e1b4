"""On a box where two doctors read each case and films are given to learn from: both from the page alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from converters.data import feedback
from firmware_app.cases.accounts import Accounts, Role
from firmware_app.core.state_dir import StateDir
from tests import toy_pack
from tests.browser.clinic import PASSWORD, BrowserUser, Clinic, clinic, synthetic_film
from tests.peers import needed
from web.passwords import Passwords

DOCTORS = ("李", "王", "赵")


@pytest.fixture(scope="module")
def engineer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with a model engineer's keys."""
    folder = tmp_path_factory.mktemp("engineer")
    feedback.make_keys(folder)
    return folder


@pytest.fixture(scope="module")
def reviewed(tmp_path_factory: pytest.TempPathFactory, engineer: Path) -> Iterator[Clinic]:
    needed("chromium", "chromedriver", "storescu")
    folder = tmp_path_factory.mktemp("reviewed")
    with clinic(
        folder,
        toy_pack.write_both(folder / "packs"),
        LANTERN_READER__PRECISION="fp32",
        LANTERN_REVIEW__TWO_READERS="true",
        LANTERN_EXPORT__ENABLED="true",
        LANTERN_EXPORT__FEEDBACK_KEY=str(engineer / feedback.PUBLIC),
    ) as running:
        accounts = Accounts(StateDir(running.state).accounts_db)
        for name in DOCTORS:
            accounts.redeem(accounts.add(name, Role.DOCTOR), name, Passwords().hash(PASSWORD))
        accounts.database.close()
        running.send_images(synthetic_film(folder, "both.dcm", PatientName="Both Read", PatientAge="050Y"))
        yield running


@pytest.fixture(scope="module")
def someone(reviewed: Clinic, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrowserUser]:
    made = BrowserUser(tmp_path_factory.mktemp("someone"))
    made.screen(1366, 768)
    try:
        yield made
    finally:
        made.close()


def sit(someone: BrowserUser, reviewed: Clinic, name: str) -> None:
    """Have *name* sit down before the list, with every case in sight."""
    someone.driver.delete_all_cookies()
    someone.log_in(reviewed.url, name)
    someone.find("#lists")
    someone.driver.execute_script("localStorage['lantern.onward'] = '0'")


def test_two_read_blind_and_a_third_settles_before_films_are_given(
    someone: BrowserUser, reviewed: Clinic, engineer: Path, tmp_path: Path
) -> None:
    first, second, third = DOCTORS
    sit(someone, reviewed, first)
    someone.open_row("Both Read")
    page = someone.driver.current_url
    someone.press(".judge .choices button[value=agree]")
    someone.until(lambda: first in someone.find(".told").text)
    someone.send("#finish button.main")
    someone.driver.get(page)
    assert "等待第二位医生" in someone.find("#readers").text

    sit(someone, reviewed, second)
    assert first not in someone.row("Both Read")
    someone.driver.get(page)
    someone.wait_for_film()
    assert "双方都作出判断前" in someone.find("#readers").text
    assert first not in someone.find("#answer").text
    someone.press(".judge .choices button[value=disagree]")
    someone.until(lambda: first in someone.find(".told").text)  # both have spoken
    someone.send("#finish .main")
    someone.driver.get(page)
    assert "由第三位医生裁定" in someone.find("#readers").text
    assert not someone.find(".judge .choices button").is_enabled()

    sit(someone, reviewed, third)
    someone.driver.get(page)
    someone.wait_for_film()
    assert "请您" in someone.find("#readers").text
    someone.press(".judge .choices button[value=disagree]")
    someone.until(lambda: third in someone.find(".told").text)
    someone.send("#finish button.main")
    someone.driver.get(page)
    assert f"{third}已裁定" in someone.find("#readers").text.replace(" ", "")

    someone.press("#consent summary")
    for tick in ("given", "looked"):
        someone.press(f"#consent [name={tick}]")
    someone.send("#consent form button")
    someone.driver.get(f"{reviewed.url}/feedback")
    assert someone.find("#due").text == "1"
    behaviour = {"behavior": "allow", "downloadPath": str(tmp_path)}
    someone.driver.execute_cdp_cmd("Browser.setDownloadBehavior", behaviour)
    someone.press("#feedback [name=sure]")
    someone.press("#feedback button.main")
    (made,) = someone.until(lambda: list(tmp_path.glob("*.lnf")))
    (film,) = feedback.unseal(made, feedback.private_key(engineer / feedback.PRIVATE))
    assert film.label in "01"
    someone.screen(360, 740, 2)
    for path in (page, f"{reviewed.url}/feedback"):
        someone.driver.get(path)
        assert not someone.find_overflow()
