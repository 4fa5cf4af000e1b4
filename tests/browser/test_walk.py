"""A doctor's walk through the viewer in a real browser, with a real modality beside it."""

from __future__ import annotations

import json
import os
import signal
import time
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

import numpy as np
from PIL import Image
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from tests.browser.clinic import PASSWORD, BrowserUser, Clinic, synthetic_clip, synthetic_film
from tests.browser.conftest import DOCTOR
from web.blueprints.lists import STREAMS

GBK = "李^雨".encode("gb18030")


def quiet(person: BrowserUser) -> None:
    """Nothing went wrong in the page: no script error, nothing that the content policy had to stop."""
    entries = person.driver.get_log("browser")  # type: ignore[no-untyped-call]
    assert [
        entry for entry in entries if entry["source"] != "rendering"
    ] == []  # it has advice on `Person.read_canvas_colour`


def test_an_image_that_is_pushed_appears_without_reload_and_is_judged(
    box: Clinic, doctor: BrowserUser, folder: Path
) -> None:
    doctor.driver.get(f"{box.url}/")
    doctor.until(lambda: doctor.driver.execute_script("window.stays = true; return document.readyState") == "complete")
    begun = time.monotonic()
    name = "Wang^Xiaoming=王^小明"
    box.send_images(
        synthetic_film(
            folder,
            SpecificCharacterSet="ISO_IR 192",
            PatientName=name,
            PatientID="QH-2041",
            PatientAge="045Y",
            PatientSex="M",
        )
    )
    row = doctor.row("王小明")
    seconds = time.monotonic() - begun
    assert doctor.driver.execute_script("return window.stays") is True  # it is still the page that was opened
    assert seconds < 10
    assert "男 · 45 岁 · QH-2041" in row
    assert "亮" in row

    doctor.open_row("王小明")
    width, before = int(doctor.film("width")), doctor.read_canvas_colour(0.5, 0.6)
    film = doctor.find("#film")
    ActionChains(doctor.driver).move_to_element(film).click_and_hold().move_by_offset(-90, 30).release().perform()
    doctor.until(lambda: int(doctor.film("width")) < width)
    assert doctor.read_canvas_colour(0.5, 0.6) != before

    doctor.slide("#heat", 80)
    doctor.until(lambda: doctor.film("heat") == "0.80")
    red, _green, blue, _alpha = doctor.read_canvas_colour(0.5, 0.6)
    assert red > blue + 20  # the heat map is over it

    doctor.find(".choices button[value=disagree]").click()
    doctor.until(lambda: doctor.find(".choices button[value=disagree]").get_attribute("aria-pressed") == "true")
    assert doctor.find(".saved").text == "已保存。"

    doctor.choose_language("en")
    assert doctor.find(".choices button[value=disagree]").get_attribute("aria-pressed") == "true"
    assert "Not for diagnostic use" in doctor.find(".limit").text
    doctor.choose_language("zh_CN")
    doctor.find("#logout").click()
    doctor.find("main [name=password]")
    doctor.driver.back()
    doctor.find("main [name=password]")  # what was seen is gone from the browser
    doctor.log_in(box.url, DOCTOR)
    doctor.find("#lists")
    quiet(doctor)


def test_every_grey_reaches_the_screen(doctor: BrowserUser, case_page: str) -> None:
    """Two greys that eight bits cannot tell apart are black and white under a window one step wide."""
    doctor.driver.get(case_page)
    doctor.wait_for_film()
    script = """
        const done = arguments[arguments.length - 1];
        import('/static/film.js').then(({ Film }) => {
          const level = { width: 2, height: 1, data: new Uint16Array([30000, 30001]) };
          const film = new Film(document.createElement('canvas'));
          film.frame = { channels: 1, top: 65535, levels: [level] };
          Object.assign(film, { centre: 30000.5, width: 1, inverted: false });
          film.paint(level);
          done(Array.from(film.painted.getContext('2d').getImageData(0, 0, 2, 1).data));
        });
    """
    black_and_white = doctor.driver.execute_async_script(script)
    assert black_and_white == [0, 0, 0, 255, 255, 255, 255, 255]


def test_the_film_is_undone_bit_by_bit_as_the_reader_wrote_it(box: Clinic, doctor: BrowserUser, case_page: str) -> None:
    doctor.driver.get(case_page)
    doctor.wait_for_film()
    url = doctor.driver.execute_script("return document.querySelector('.image').dataset.frame")
    script = """
        const done = arguments[arguments.length - 1];
        (async () => {
          const { decodePng } = await import('/static/png.js');
          const image = await decodePng(await (await fetch(arguments[0])).arrayBuffer());
          const sums = [0, 0];
          for (const grey of image.data) {
            sums[0] = (sums[0] + grey) % 4294967291;
            sums[1] = (sums[1] + sums[0]) % 4294967291;
          }
          done([image.width, image.height, image.depth, ...sums]);
        })();
    """
    width, height, depth, first, second = doctor.driver.execute_async_script(script, url)
    with Image.open(box.state / "display" / url.split("/")[-2] / "frame-000.png") as image:
        greys = np.asarray(image, dtype=np.uint64).ravel()
    sums = [0, 0]
    for grey in greys.tolist():
        sums[0] = (sums[0] + grey) % 4294967291
        sums[1] = (sums[1] + sums[0]) % 4294967291
    assert (width * height, depth, [first, second]) == (greys.size, 16, sums)


def test_an_old_browser_shows_the_film_in_eight_bits_and_says_so(doctor: BrowserUser, case_page: str) -> None:
    without = {"source": "delete window.DecompressionStream"}
    added = doctor.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", without)
    doctor.driver.get(case_page)
    doctor.wait_for_film()
    assert "256" in doctor.find("#message").text
    assert len({doctor.read_canvas_colour(0.5, share) for share in (0.2, 0.5, 0.8)}) > 1
    doctor.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)


def test_the_film_is_worked_with_keys_wheel_and_buttons(doctor: BrowserUser, case_page: str) -> None:
    doctor.driver.get(case_page)
    doctor.wait_for_film()
    film = doctor.find("#film")
    width, before = int(doctor.film("width")), doctor.read_canvas_colour()
    film.send_keys(Keys.ARROW_RIGHT)
    doctor.until(lambda: int(doctor.film("width")) > width)
    film.send_keys("+")
    doctor.until(lambda: doctor.film("zoom") == "1.25")
    doctor.find("#closer").click()
    doctor.until(lambda: doctor.film("zoom") == "1.75")
    doctor.find("#invert").click()
    doctor.until(lambda: doctor.read_canvas_colour() != before)
    doctor.find("#reset").click()
    doctor.until(lambda: (doctor.film("zoom"), int(doctor.film("width"))) == ("1.00", width))
    assert doctor.read_canvas_colour() == before


def test_a_clip_is_looked_through_frame_by_frame(box: Clinic, doctor: BrowserUser, folder: Path) -> None:
    box.send_images(synthetic_clip(folder, "clip.dcm", 5, PatientName="A Clip", PatientAge="050Y"))
    doctor.driver.get(f"{box.url}/")
    doctor.open_row("A Clip")
    assert doctor.find("#frame-text").text == "第 3 帧，共 5 帧"
    greys = [doctor.read_canvas_colour()]
    for number in (3, 4):
        doctor.slide("#frame", number)
        doctor.until(lambda: doctor.read_canvas_colour() != greys[-1])
        greys.append(doctor.read_canvas_colour())
    assert greys == sorted(greys)
    assert doctor.find("#frame-text").text == "第 5 帧，共 5 帧"
    assert "只判读了第 3 帧" in doctor.find(".hint").text
    quiet(doctor)


def test_fingers_window_and_zoom(doctor: BrowserUser, case_page: str) -> None:
    doctor.screen(360, 740, 2)
    doctor.driver.get(case_page)
    doctor.wait_for_film()
    width = int(doctor.film("width"))
    doctor.touch("Start", (0, 0))
    doctor.touch("Move", (60, 0))
    doctor.touch("End")
    doctor.until(lambda: int(doctor.film("width")) > width)
    doctor.touch("Start", (-20, 0), (20, 0))
    doctor.touch("Move", (-60, 0), (60, 0))
    doctor.touch("End")
    doctor.until(lambda: float(doctor.film("zoom")) > 1.5)


def test_a_film_without_an_age_is_read_again_once_it_is_entered(box: Clinic, doctor: BrowserUser, folder: Path) -> None:
    """And its name, written in GBK by a console that does not say so, comes out right."""
    path = synthetic_film(folder, "ageless.dcm", PatientName="XXXXX ", PatientID="QH-7", PatientAge=None)
    path.write_bytes(path.read_bytes().replace(b"XXXXX ", GBK.ljust(6)))
    box.send_images(path)
    doctor.driver.get(f"{box.url}/?tab=cannot-judge")
    assert "年龄" in doctor.row("李雨")
    doctor.open_row("李雨")
    assert "年龄" in doctor.find(".hint.reason").text
    doctor.type("#patient [name=age]", "45")
    doctor.press("#patient form button")
    doctor.until(lambda: doctor.all(".finding .number"))
    assert doctor.find("h1").text == "李雨"
    assert "45 岁" in doctor.find(".title").text
    quiet(doctor)


def test_a_script_in_a_name_does_nothing(box: Clinic, doctor: BrowserUser, folder: Path) -> None:
    hostile = "<script>alert(7)</script>"
    box.send_images(
        synthetic_film(
            folder, "hostile.dcm", PatientName=hostile, PatientID="<img src=x onerror=alert(7)>", PatientAge="050Y"
        )
    )
    doctor.driver.get(f"{box.url}/")
    assert hostile in doctor.row("<script")
    doctor.open_row("<script")
    assert doctor.find("h1").text == hostile
    quiet(doctor)


def test_done_asks_for_a_word_leads_to_the_next_patient_and_is_taken_back_there(
    box: Clinic, doctor: BrowserUser, folder: Path
) -> None:
    names = ["Next 1", "Next 2"]
    for name in names:
        box.send_images(synthetic_film(folder, f"{name[-1]}.dcm", PatientName=name, PatientAge="050Y"))
    doctor.driver.get(f"{box.url}/")
    doctor.open_row(names[1])
    doctor.send(".finish button")
    assert doctor.find("h1").text == names[1]
    doctor.press(".asked input[value=none]")
    doctor.send(".finish button")
    assert "/case/" in doctor.driver.current_url
    assert doctor.find("h1").text != names[1]
    assert names[1] in doctor.find(".just-done").text
    doctor.driver.get(f"{box.url}/?tab=done")
    assert f"{DOCTOR}: 不作评价" in doctor.row(names[1])
    doctor.driver.back()
    doctor.send(".just-done button")
    assert doctor.find("h1").text == names[1]
    doctor.driver.get(f"{box.url}/")
    doctor.row(names[1])
    quiet(doctor)


def test_a_verdict_answers_the_question_that_done_has_asked(doctor: BrowserUser, case_page: str) -> None:
    doctor.driver.get(case_page)
    doctor.send(".finish button")
    assert doctor.all("#ask:not([hidden])")
    doctor.press(".choices button[value=agree]")
    doctor.until(lambda: not doctor.all("#ask:not([hidden])"))
    assert not doctor.all("fieldset.asked:enabled")
    doctor.press(".back-step")
    doctor.until(lambda: doctor.all("#ask:not([hidden])"))
    quiet(doctor)


def test_a_word_is_taken_back_without_leaving_the_page(doctor: BrowserUser, case_page: str) -> None:
    doctor.driver.get(case_page)
    doctor.wait_for_film()
    doctor.press(".choices button[value=agree]")
    doctor.until(lambda: f"{DOCTOR}: 同意" in doctor.find(".told").text)
    doctor.press(".back-step")
    doctor.until(lambda: not doctor.all(".told span"))
    assert doctor.find(".choices button[value=agree]").get_attribute("aria-pressed") == "false"
    assert not doctor.find(".saved").text.startswith("未")
    quiet(doctor)


def test_the_report_shows_film_findings_and_who_must_decide(box: Clinic, doctor: BrowserUser, case_page: str) -> None:
    doctor.driver.get(f"{case_page}/report")
    doctor.until(lambda: len(doctor.all(".plate")) == 2)
    assert "toy-adult 0.0.1" in doctor.find(".report").text
    assert "未经医生判断" in doctor.find(".report").text
    quiet(doctor)


def test_a_reader_that_died_is_told_without_reload_and_so_is_its_return(
    box: Clinic, doctor: BrowserUser, folder: Path
) -> None:
    with box.nobody_restarts():
        os.kill(box.pids["reader"], signal.SIGKILL)
        box.send_images(synthetic_film(folder, "unread.dcm", PatientName="Unread", PatientAge="050Y"))
        banner = doctor.until(
            lambda: next((b.text for b in doctor.all("#banner .banner") if "1 幅未读" in b.text), None)
        )
        assert "没有结果不等于正常" in banner
        assert box.health() == {"status": "degraded", "codes": ["reader.stopped"]}
    box.expect("reader")
    doctor.row("Unread")
    doctor.until(lambda: not doctor.all("#banner .banner"))


def test_a_viewer_that_is_killed_comes_back_to_the_same_log_in(box: Clinic, doctor: BrowserUser) -> None:
    doctor.driver.get(f"{box.url}/")
    os.kill(box.pids["viewer"], signal.SIGKILL)
    box.expect("viewer")  # at another port here, because the box asked for any
    doctor.driver.get(f"{box.url}/")
    doctor.find("#lists")
    assert box.health() == {"status": "ok", "codes": []}


def test_streams_are_bounded_and_given_back(box: Clinic, doctor: BrowserUser) -> None:
    cookies = "; ".join(f"{cookie['name']}={cookie['value']}" for cookie in doctor.driver.get_cookies())

    def asked(path: str) -> tuple[HTTPConnection, HTTPResponse]:
        """The connection and its answer: letting go of the answer would end the stream."""
        connection = HTTPConnection("127.0.0.1", box.ports["viewer"], timeout=10)
        connection.request("GET", path, headers={"Cookie": cookies})
        return connection, connection.getresponse()

    def let_go(connection: HTTPConnection, answer: HTTPResponse) -> None:
        answer.close()
        connection.close()

    opened = [asked("/events") for _ in range(2 * STREAMS)]
    assert [answer.status for _, answer in opened].count(200) <= STREAMS
    page = asked("/lists")  # the others are served all the same
    assert page[1].status == 200
    for one in (*opened, page):
        let_go(*one)

    def free() -> bool:
        one = asked("/events")
        let_go(*one)
        return one[1].status == 200

    doctor.until(free)


def test_no_name_id_or_uid_is_in_a_log_and_the_audit_is_whole(box: Clinic, doctor: BrowserUser, case_page: str) -> None:
    written = box.log.read_text("utf-8")
    for secret in ("王小明", "Xiaoming", "QH-2041", "李雨", "Zhao", "onerror", "1.2.826.0.1", DOCTOR, PASSWORD):
        assert secret not in written
    assert "Traceback" not in written
    verified = json.loads(box.lantern("audit", "verify", "--json"))
    assert verified["whole"] is True
    assert verified["entries"] > 3
