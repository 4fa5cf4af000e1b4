"""The Flask application: blueprints, protection, and what every template may use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Flask, g, render_template, request
from flask.sessions import SecureCookieSessionInterface
from flask_wtf.csrf import CSRFProtect
from werkzeug.exceptions import HTTPException
from werkzeug.routing import BaseConverter

from firmware_app.cases import usb_import
from firmware_app.cases.accounts import Accounts, Role
from firmware_app.cases.case_lists import CaseListRow
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cases.registration_entry import ACCESSION_PATTERN
from firmware_app.cases.verdicts import DoctorVerdict, may_see_statements
from firmware_app.core import clock, run_status
from firmware_app.core.language import N_, html_tag, translate, translate_plural
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir
from firmware_app.core.version import version
from firmware_app.results.terms import format_percent
from web import compression, guard, labels, notices, reading_status, viewer_context
from web.blueprints import calibration, descriptions, list_blueprints, live, software, sticks
from web.change_notifier import ChangeNotifier
from web.health_report import Checkup

_ERRORS: Mapping[int, str] = {
    400: N_("This page was open too long or came from elsewhere. Go back, load it again and repeat what you did."),
    401: N_("Please log in."),
    403: N_("Your account may not see this page."),
    404: N_("There is nothing here. It may have been removed."),
    405: N_("There is nothing here. It may have been removed."),
    413: N_("That is too long."),
    421: N_(
        "This name does not belong to this box. Use its address, or have the technician set [viewer] allowed_hosts."
    ),
    429: N_("Too many wrong attempts. Wait 15 minutes, or ask whoever looks after the box for a new code."),
    503: N_("The box is busy. Try again in a moment."),
}
_WENT_WRONG = N_("Something went wrong on the box. Try again; if it stays so, call the technician.")


_UNSURE = N_("(clock not confirmed)")


class _SecureSessionInterface(SecureCookieSessionInterface):
    """Marks a cookie that was set over TLS as secure, so that it is never sent without TLS."""

    def get_cookie_secure(self, app: Flask) -> bool:
        return request.is_secure


class CaseReference(BaseConverter):
    """A case's random reference; nothing else matches, and no path."""

    regex = "c-[0-9a-f]{20}"


class InstanceReference(BaseConverter):
    """An instance's random reference."""

    regex = "i-[0-9a-f]{20}"


class FindingCode(BaseConverter):
    """A finding's code."""

    regex = "[a-z][a-z0-9_]{0,63}"


class AccessionNumber(BaseConverter):
    """The accession number of a registration."""

    regex = ACCESSION_PATTERN


def create_app(
    config: Config,
    state: StateDir,
    clinical: ClinicalDatabase,
    accounts: Accounts,
    checkup: Checkup | None = None,
    test_config: Mapping[str, Any] | None = None,
) -> Flask:
    """The viewer over databases that are ready.  The caller starts and stops the box's `pulse`."""
    app = Flask(__name__)
    app.config.from_mapping(
        SECRET_KEY=accounts.load_secret("cookies"),
        SESSION_COOKIE_NAME="lantern_page",
        SESSION_COOKIE_SAMESITE="Strict",
        SESSION_COOKIE_HTTPONLY=True,
        WTF_CSRF_TIME_LIMIT=None,  # the token is bound to the log-in and ends with it
        MAX_CONTENT_LENGTH=64 * 1024,
        MAX_FORM_PARTS=64,
    )
    app.config.from_mapping(test_config or {})
    app.session_interface = _SecureSessionInterface()
    disk = reading_status.DiskMonitor(config, state)

    def read_banner_state() -> object:
        trouble = disk.check(reading_status.PULSE_WRITE_S)
        code = trouble.code if trouble is not None else None
        told = [
            (notice.pack, notice.reason.code, notice.back)
            for notice in notices.list_notices(clinical, config, Role.DOCTOR)
        ]
        deaf = not run_status.is_running(state, "gateway")
        return reading_status.read_reading_state(clinical, state), sticks.find_banner_status(state), code, deaf, told

    pulse = ChangeNotifier(clinical, read_banner_state)
    viewer_context.install(
        app.extensions,
        viewer_context.Box(
            config=config,
            state=state,
            clinical=clinical,
            accounts=accounts,
            pulse=pulse,
            checkup=checkup or Checkup(None),
            disk=disk,
        ),
    )
    for name, converter in (
        ("case", CaseReference),
        ("instance", InstanceReference),
        ("finding", FindingCode),
        ("accession", AccessionNumber),
    ):
        app.url_map.converters[name] = converter
    compression.install(app)
    guard.install(app)  # before the CSRF check, which must know whose token it sees
    app.before_request(calibration.allow_large_table)
    app.before_request(software.allow_piece)
    CSRFProtect(app)
    for blueprint in list_blueprints():
        app.register_blueprint(blueprint)
    _register_first_page(app, state, accounts)
    _configure_templates(app, config)
    app.register_error_handler(HTTPException, _render_error)
    app.register_error_handler(500, _render_error)
    return app


def _register_first_page(app: Flask, state: StateDir, accounts: Accounts) -> None:
    """Only on an installed box without an account: later the page is not needed, nor the 12 MB that it loads."""
    if state.provision.is_dir() and not any(user.has_password for user in accounts.list_users()):
        from web.blueprints import provisioning

        app.register_blueprint(provisioning.blueprint)


def _configure_templates(app: Flask, config: Config) -> None:
    app.jinja_env.globals.update(
        _=_translate,
        _n=_translate_plural,
        version=version(),
        box_name=config.box.name,
        labels=labels,
        user=guard.current_user,
        stick_files=usb_import,
        is_live=live.is_watched,
        described=descriptions.build_description,
        seen_words=_select_visible_verdicts,
        gives_feedback=lambda: config.export.gives_feedback,
        stands=lambda: viewer_context.current_box().pulse.banner_mark,
    )
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.filters.update(
        moment=_format_time, dated=_format_datetime, written=_format_stored_time, percent=format_percent, tag=html_tag
    )
    app.context_processor(lambda: {"language": g.get("language", config.box.language)})
    app.context_processor(_build_banner_context)
    app.context_processor(lambda: {"clock_unsure": guard.current_user() is not None and not clock.stamp().trusted})


def _build_banner_context() -> dict[str, object]:
    """Whether images are taken in and read, how the copying of a stick goes, what is wrong with the disk and what the
    box did with its models, for users who see results."""
    box, person = viewer_context.current_box(), guard.current_user()
    if not person:
        return {"reading": None, "stick": None, "disk": None, "deaf": False, "model_notices": []}
    return {
        "reading": reading_status.read_reading_state(box.clinical, box.state),
        "stick": sticks.find_banner_status(box.state),
        "disk": box.disk.check(),
        "deaf": not run_status.is_running(box.state, "gateway"),
        "model_notices": notices.list_notices(box.clinical, box.config, person.role),
    }


def _select_visible_verdicts(row: CaseListRow) -> tuple[DoctorVerdict, ...]:
    """The verdicts on a case of a list that its reader may see."""
    reader = guard.require_actor()
    return tuple(
        verdict for verdict in row.verdicts if may_see_statements(reader, verdict.actor, row.readers, row.done)
    )


def _translate(message: str, **values: object) -> str:
    text = translate(message, g.get("language", "en"))
    return text.format(**values) if values else text


def _translate_plural(one: str, many: str, count: int) -> str:
    return translate_plural(one, many, count, g.get("language", "en"))


def _format_time(stamp: clock.Stamp) -> str:
    """Today's times as hour and minute, earlier ones with the date; an unconfirmed time in full and with a mark."""
    local = stamp.at.astimezone()
    today = stamp.trusted and local.date() == clock.now().astimezone().date()
    return local.strftime("%H:%M" if today else "%Y-%m-%d %H:%M") + _format_clock_mark(stamp)


def _format_datetime(stamp: clock.Stamp) -> str:
    """Like `_format_time`, but always with the date: a printed report is read on other days too."""
    return f"{stamp.at.astimezone():%Y-%m-%d %H:%M}" + _format_clock_mark(stamp)


def _format_stored_time(text: str) -> str:
    """A stored time to the second, in UTC, with its mark."""
    stamp = clock.parse_stamp(text)
    return f"{stamp.at:%Y-%m-%d %H:%M:%S}" + _format_clock_mark(stamp)


def _format_clock_mark(stamp: clock.Stamp) -> str:
    return "" if stamp.trusted else " " + _translate(_UNSURE)


def _render_error(error: HTTPException) -> tuple[str, int]:
    code = error.code or 500
    text = _ERRORS.get(code, _WENT_WRONG)
    if request.accept_mimetypes.best_match(["text/html", "application/json"]) == "application/json":
        return _translate(text), code
    return render_template("error.html", code=code, text=text), code
