"""The viewer against people who mean harm, and the rules that hold for every page."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from firmware_app.cases.accounts import Role
from firmware_app.cases.audit import Audit
from firmware_app.core.settings import Config
from tests import toy_pack
from tests.cases import admit
from tests.viewer import HTML, PASSWORD, SCRIPT, Desk, Silent, post, token
from web import devices, guard
from web.app import create_app


def test_nothing_is_seen_without_a_log_in(desk: Desk) -> None:
    client = desk.app.test_client()
    paths = [rule.rule for rule in desk.app.url_map.iter_rules() if "GET" in (rule.methods or ())]
    open_to_all = {"/alive", "/healthz", "/login", "/claim", "/static/<path:filename>"}
    for path in sorted(set(paths) - open_to_all):
        filled = re.sub(r"<case:\w+>", desk.case, re.sub(r"<instance:\w+>", desk.instance.reference, path))
        filled = re.sub(r"<finding:\w+>", "pneumonia", re.sub(r"<int[^>]*>", "0", filled))
        assert "<" not in filled
        assert client.get(filled, headers=HTML).headers.get("Location") == "/login", filled
        assert client.get(filled, headers={"Accept": "application/json"}).status_code == 401, filled


@pytest.mark.parametrize(
    ("role", "seen"),
    [
        (Role.DOCTOR, {"/": 200, "/box": 200, "/quarantine": 200, "/calibration": 200, "/audit": 403}),
        (Role.TECHNICIAN, {"/": 403, "/box": 200, "/quarantine": 200, "/audit": 403, "/lists": 403, "/events": 403}),
        (Role.AUDITOR, {"/": 403, "/box": 403, "/quarantine": 403, "/audit": 200}),
    ],
)
def test_each_role_sees_its_own_pages_only(desk: Desk, role: Role, seen: dict[str, int]) -> None:
    client = desk.person("li", role)
    for path, status in seen.items():
        assert client.get(path, headers=HTML).status_code == status, path
    clinical = 200 if role is Role.DOCTOR else 403
    assert client.get(f"/case/{desk.case}", headers=HTML).status_code == clinical
    assert client.get(f"/film/{desk.instance.reference}/0.png").status_code == (404 if clinical == 200 else 403)
    judged = post(client, f"/case/{desk.case}/verdict", finding="pneumonia", verdict="agree")
    assert judged.status_code == (302 if role is Role.DOCTOR else 403)


@pytest.mark.parametrize("page", ["/", "/case/{case}", "/case/{case}/report", "/lists"])
def test_a_script_in_a_name_is_only_text(desk: Desk, page: str) -> None:
    shown = desk.person("li").get(page.format(case=desk.case), headers=HTML).text
    assert "&lt;script&gt;" in shown
    assert SCRIPT not in shown
    assert "<img src=x" not in shown


def test_every_page_forbids_inline_script_and_says_what_it_is_not_for(desk: Desk) -> None:
    client = desk.person("li")
    for page in ("/", f"/case/{desk.case}", f"/case/{desk.case}/report", "/box", "/nothing", "/quarantine"):
        answer = client.get(page, headers=HTML)
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        bare = re.sub(r'="[^"]*"', '=""', answer.text)  # what a patient is called may say anything
        assert not re.search(r"<script(?![^>]*\ssrc=)|<[^>]+\s(on\w+|style)=", bare), page
        assert "Not for diagnostic use" in answer.text
        assert "/static/answers.js" in answer.text  # which says when the box does not answer
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_cookies_are_http_only_and_strict(desk: Desk) -> None:
    code = desk.accounts.add("li", Role.DOCTOR)
    answer = post(desk.app.test_client(), "/claim", code=code, password=PASSWORD, again=PASSWORD)
    cookies = answer.headers.getlist("Set-Cookie")
    assert len(cookies) == 3
    for cookie in cookies:
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie


@pytest.mark.parametrize(
    "path",
    [
        "/case/{case}/verdict",
        "/case/{case}/patient",
        "/case/{case}/done",
        "/case/{case}/reopen",
        "/logout",
        "/language",
    ],
)
def test_a_post_without_its_token_changes_nothing(desk: Desk, path: str) -> None:
    client = desk.person("li")
    before = Audit(desk.clinical.database).read_head()
    for fields in ({}, {"csrf_token": "forged"}, {"csrf_token": token(desk.app.test_client())}):
        data = {"finding": "pneumonia", "verdict": "agree", "name": "x", "language": "en", **fields}
        assert client.post(path.format(case=desk.case), data=data, headers=HTML).status_code == 400
    assert Audit(desk.clinical.database).read_head() == before
    assert client.get("/", headers=HTML).status_code == 200


def test_a_planted_session_is_not_taken_over(desk: Desk) -> None:
    desk.person("li")
    client = desk.app.test_client()
    client.set_cookie(guard.COOKIE, "planted-by-someone-else")
    assert post(client, "/login", name="li", password=PASSWORD).status_code == 302
    cookie = client.get_cookie(guard.COOKIE)
    assert cookie is not None
    assert cookie.value != "planted-by-someone-else"
    thief = desk.app.test_client()
    thief.set_cookie(guard.COOKIE, "planted-by-someone-else")
    assert thief.get("/", headers=HTML).status_code == 302


def test_logging_out_ends_the_session_on_the_box_too(desk: Desk) -> None:
    client = desk.person("li")
    cookie = client.get_cookie(guard.COOKIE)
    assert cookie is not None
    post(client, "/logout")
    thief = desk.app.test_client()
    thief.set_cookie(guard.COOKIE, cookie.value)
    assert thief.get("/", headers=HTML).headers["Location"] == "/login"


@pytest.mark.parametrize("host", ["127.0.0.1.evil.example", "a b"])
def test_another_host_name_is_refused(desk: Desk, host: str) -> None:
    answer = desk.app.test_client().get("/login", headers={"Host": host, **HTML})
    assert answer.status_code in (400, 421)
    assert "evil" not in answer.text


def test_no_path_leads_out_of_the_display_folder(desk: Desk) -> None:
    client, reference = desk.person("li"), desk.instance.reference
    folder = desk.state.display / reference
    (folder / "secret.png").symlink_to(desk.state.clinical_db)
    for path in (
        f"/film/{reference}/../../clinical/clinical.db",
        f"/film/{reference}/heat/..%2f..%2fclinical.db.png",
        f"/film/{reference}/heat/secret.png",
        f"/film/{reference}/heat/%2e%2e.png",
        "/film/..%2f..%2fimages/0.png",
        f"/film/{reference}/-1.png",
        f"/film/{reference}/99999.png",
        "/film/i-" + "0" * 20 + "/0.png",
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/case/c-1%27%20OR%201=1--",
        "/case/../../etc/passwd",
    ):
        answer = client.get(path, headers=HTML)
        assert answer.status_code == 404, path
        assert b"SQLite" not in answer.data


def test_hundreds_of_bad_log_ins_across_a_restart_are_refused_and_lock_nobody_else_out(desk: Desk) -> None:
    desk.person("li")
    statuses: list[int] = []
    for app in (desk.app, desk.restarted()):
        client = app.test_client()
        key = token(client)
        for number in range(100):
            data = {"csrf_token": key, "name": "li", "password": f"guess {number}"}
            statuses.append(
                client.post("/login", data=data, headers=HTML, environ_base={"REMOTE_ADDR": "10.9.9.9"}).status_code
            )
    assert statuses[:5] == [401] * 5
    assert set(statuses[5:]) == {429}
    right = {"name": "li", "password": PASSWORD}
    attacker, doctor = desk.app.test_client(), desk.app.test_client()
    data = {"csrf_token": token(attacker), **right}
    assert attacker.post("/login", data=data, headers=HTML, environ_base={"REMOTE_ADDR": "10.9.9.9"}).status_code == 429
    assert post(doctor, "/login", **right).status_code == 302
    actions = [entry.action for entry in Audit(desk.clinical.database).latest(50)]
    assert actions.count("login.failed") == 4
    assert actions.count("login.blocked") == 1


def try_passwords(desk: Desk, name: str, times: int, *addresses: str) -> list[int]:
    """A stranger's wrong passwords for the account *name*, so many from each of *addresses*."""
    client = desk.app.test_client()
    data = {"csrf_token": token(client), "name": name, "password": "wrong wrong"}
    return [
        client.post("/login", data=data, headers=HTML, environ_base={"REMOTE_ADDR": address}).status_code
        for address in addresses
        for _ in range(times)
    ]


def test_a_browser_that_a_person_has_used_is_not_locked_by_others_behind_its_address(desk: Desk) -> None:
    own = desk.person("li")
    assert post(own, "/logout").status_code == 302
    assert try_passwords(desk, "li", 8, "127.0.0.1") == [401] * 5 + [429] * 3
    assert post(desk.app.test_client(), "/login", name="li", password=PASSWORD).status_code == 429
    assert post(own, "/login", name="li", password=PASSWORD).status_code == 302
    assert try_passwords(desk, "li", 3, "127.0.0.1") == [429] * 3
    fresh = "two lamps in the village"
    answer = post(own, "/password", old=PASSWORD, password=fresh, again=fresh)
    assert answer.status_code == 200, "the own password is asked for again: no stranger forbids that either"


def test_nobody_makes_a_known_browser(desk: Desk) -> None:
    desk.person("li")
    stranger = desk.app.test_client()
    stranger.set_cookie(devices.COOKIE, "WyIwMTIzIixbXV0.AAAA")
    statuses = [post(stranger, "/login", name="li", password="wrong").status_code for _ in range(6)]
    assert statuses == [401] * 5 + [429]


def test_a_fresh_code_lets_in_who_was_locked_out_and_keeps_the_door_open(desk: Desk) -> None:
    """It is what the sentence of the lock advises."""
    desk.person("li")
    try_passwords(desk, "li", 5, "127.0.0.1", *(f"10.9.9.{number}" for number in range(30)))
    locked = desk.app.test_client()
    for number in range(7):  # and wrong codes from there, too
        post(locked, "/claim", code=f"AAAA-{number:04d}", password=PASSWORD, again=PASSWORD)
    code = desk.accounts.reset_password("li")
    assert post(locked, "/claim", code=code, password=PASSWORD, again=PASSWORD).status_code == 302
    for _ in range(2):
        try_passwords(desk, "li", 5, "127.0.0.1", "10.9.9.200")
        assert post(locked, "/logout").status_code == 302
        assert post(locked, "/login", name="li", password=PASSWORD).status_code == 302


def test_a_wrong_name_and_a_wrong_password_read_the_same(desk: Desk) -> None:
    desk.person("li")
    answers = [
        re.sub(r'value="[^"]+"', "", post(desk.app.test_client(), "/login", name=name, password="wrong wrong").text)
        for name in ("li", "nobody")
    ]
    assert answers[0] == answers[1]


def test_what_a_doctor_does_is_kept_and_audited(desk: Desk) -> None:
    client = desk.person("li")
    client.get(f"/case/{desk.case}", headers=HTML)
    assert post(client, f"/case/{desk.case}/verdict", finding="pneumonia", verdict="disagree").status_code == 302
    assert post(client, f"/case/{desk.case}/verdict", finding="pneumonia", verdict="maybe").status_code == 400
    assert post(client, f"/case/{desk.case}/verdict", finding="gout", verdict="agree").status_code == 400
    assert post(client, f"/case/{desk.case}/done").status_code == 302
    assert post(client, f"/case/{desk.case}/patient", name="张三", age="3", unit="Y", sex="M").status_code == 302
    assert post(client, f"/case/{desk.case}/patient", age="x", unit="Y").status_code == 422
    entries = Audit(desk.clinical.database).latest(20)
    assert [entry.action for entry in reversed(entries)] == [
        "claim.used",
        "case.viewed",
        "finding.judged",
        "case.done",
        "patient.corrected",
    ]
    assert "张三" not in str(entries)
    assert Audit(desk.clinical.database).verify()[0]


@pytest.mark.parametrize("referrer", ["http://localhost//evil.example", None])
def test_choosing_a_language_leads_nowhere_else(desk: Desk, referrer: str | None) -> None:
    client = desk.person("li")
    headers = {**HTML, **({"Referer": referrer} if referrer else {})}
    data = {"csrf_token": token(client, "/claim"), "language": "zh_CN"}
    answer = client.post("/language", data=data, headers=headers)
    assert answer.headers["Location"] == "/login"
    assert "工作列表" in client.get("/", headers=HTML).text


def test_nobody_is_done_with_a_case_of_which_an_image_waits_to_be_read(desk: Desk) -> None:
    doctor = desk.person("li")
    offered = f'action="/case/{desk.case}/done"'
    assert offered in doctor.get(f"/case/{desk.case}", headers=HTML).text
    admit(desk.clinical, 2)
    assert offered not in doctor.get(f"/case/{desk.case}", headers=HTML).text
    post(doctor, f"/case/{desk.case}/verdict", finding="pneumonia", verdict="agree")
    pressed = post(doctor, f"/case/{desk.case}/done")  # on a page from before
    assert pressed.headers["Location"].startswith(f"/case/{desk.case}?changed")
    assert desk.clinical.database.connection.execute("SELECT * FROM reviews").fetchall() == []


AT_HOME = {
    "runtime": "onnxruntime",
    "precision": "int8",
    "split": "test",
    "n": 700,
    "positives": 500,
    "auc": 0.997,
    "auc_ci": None,
    "threshold": 0.5,
    "sensitivity": 0.96,
    "sensitivity_ci": [0.94, 0.98],
    "specificity": 0.97,
    "specificity_ci": [0.95, 0.99],
    "command": "lantern-convert evaluate",
}


def open_with_pack(desk: Desk, folder: Path, prevalence: dict[str, float], **more: object) -> FlaskClient:
    """A doctor before the box whose pack read the film, with its row `AT_HOME` and `more` in its manifest."""
    pack = toy_pack.write(folder / "packs", "p", "adult", 18, None, int8=b"x")
    manifest = json.loads((pack / "manifest.json").read_text())
    manifest["version"] = "1.0.0"
    manifest["findings"][0]["code"] = "pneumonia"
    (pack / "manifest.json").write_text(json.dumps({**manifest, "measured": [AT_HOME], **more}))
    tree = {**desk.config.model_dump(), "packs": {"dir": folder / "packs"}, "reader": {"prevalence": prevalence}}
    desk.app = create_app(Config.model_validate(tree), desk.state, desk.clinical, desk.accounts, Silent(None))
    return desk.person(f"wang{folder.name[-4:]}")


ELSEWHERE = {
    "source": "county",
    "runtime": "onnxruntime",
    "precision": "int8",
    "n": 243,
    "positives": 90,
    "passed": 0.004,
    "passed_ci": [0.0, 0.02],
    "n_passed": 1,
    "positives_passed": 0,
    "scored": 243,
    "threshold": 0.5,
    "auc": 0.6,
    "auc_ci": [0.5, 0.7],
    "sensitivity": 0.9,
    "sensitivity_ci": [0.8, 0.95],
    "specificity": 0.2,
    "specificity_ci": [0.1, 0.3],
    "auc_passed": 0.71,
    "auc_passed_ci": [0.62, 0.8],
    "sensitivity_passed": 0.88,
    "sensitivity_passed_ci": [0.77, 0.94],
    "specificity_passed": 0.31,
    "specificity_passed_ci": [0.2, 0.4],
    "wrong": 0.3,
    "wrong_ci": [0.2, 0.4],
    "wrong_passed": 0.2,
    "wrong_passed_ci": [0.1, 0.3],
}


def test_the_page_leads_with_other_places_and_says_where_nobody_tried_it(desk: Desk, tmp_path: Path) -> None:
    left_out = {**AT_HOME, "split": "unseen[view=AP]", "auc": 0.76, "auc_ci": [0.7, 0.8]}
    measured = {"measured": [AT_HOME, left_out], "measured_elsewhere": [ELSEWHERE]}
    shown = open_with_pack(desk, tmp_path / "tried", {}, **measured).get(f"/case/{desk.case}", headers=HTML).text
    home = shown.index("At its home hospital: 700 films")
    assert shown.index("Elsewhere: 243 films of county (90 with the finding)") < home
    assert shown.index("had an AUC of 0.760 (0.700 – 0.800; 700 films)") < home
    assert "elsewhere AUC 0.710 · at its home hospital AUC 0.997" in shown  # never rounded up to a whole 1
    assert "<td>0.4%</td>" in shown
    assert "Specificity" not in shown  # nobody has said how common the finding is here
    assert "Nobody has tried" not in shown
    none = [key for key in ELSEWHERE if "_passed" in key and key not in ("n_passed", "positives_passed")]
    away = {**ELSEWHERE, **dict.fromkeys(none)}
    one = open_with_pack(desk, tmp_path / "once", {}, measured_elsewhere=[away]).get(f"/case/{desk.case}", headers=HTML)
    assert "elsewhere 0.4% get a number · at its home hospital AUC 0.997" in one.text
    bare = open_with_pack(desk, tmp_path / "bare", {}).get(f"/case/{desk.case}", headers=HTML).text
    assert "Nobody has tried this model on films of another place" in bare
    assert "elsewhere AUC" not in bare
