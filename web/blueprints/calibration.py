"""How the models do at this clinic: figures, thresholds of the clinic's own, and outcomes from a table.

For doctor and technician: neither page holds anything of a patient but the list of cases that a doctor is asked about.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from flask import Blueprint, abort, g, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from firmware_app.cases.accounts import Role, User
from firmware_app.cases.errors import NotSuspended
from firmware_app.core.clinic_accuracy import ClinicFigures
from firmware_app.core.drift_tests import FIRST_IMAGES
from firmware_app.core.errors import LanternError
from firmware_app.core.operating_point import LEAST_CONFIRMED, ThresholdSuggestion
from firmware_app.core.records import LocalState, Reason
from firmware_app.monitoring import drift
from firmware_app.monitoring.errors import (
    ModelSiteUnknown,
    NoOperatingPoint,
    OutcomesUnreadable,
    ProposalOutdated,
    SamePersonAgreed,
    TooFewConfirmed,
)
from firmware_app.monitoring.local_performance import MOST_WRONG, LocalPerformance, PerformanceOverview
from firmware_app.monitoring.outcomes import CheckedOutcomes, ImportedOutcomes, OutcomeImport
from web import curves, guard
from web.viewer_context import Box, current_box

blueprint = Blueprint("calibration", __name__)

TABLE_BYTES: Final = 256 * 1024
"""A table that a page takes, some thousand lines; `lantern calibration import` takes larger ones."""
COST: Final = 10.0
"""Needless referrals that a miss is as bad as, until somebody states another number."""
_ROWS: Final = 50
_MOST_LINES: Final = 100


@dataclass(frozen=True, slots=True)
class SuggestionInputs:
    """What a person has stated for a suggestion: `prevalence` is a share, or None for that of the confirmed films."""

    miss_costs: float
    prevalence: float | None


def allow_large_table() -> None:
    """Let a user's table be longer than other forms; asked before anything reads the request's body."""
    if request.endpoint == "calibration.take" and guard.current_user():
        request.max_content_length = TABLE_BYTES


@blueprint.get("/calibration")
@guard.require_role(Role.DOCTOR, Role.TECHNICIAN)
def page() -> ResponseReturnValue:
    """Every model on every machine, and the cases whose truth is asked for."""
    box = current_box()
    wanted = dict.fromkeys(confirmation_request.case for confirmation_request in box.confirmations.list_pending(_ROWS))
    cases = (
        [(case, box.patients.load_displayed(case).patient) for case in wanted]
        if _require_user().role is Role.DOCTOR
        else []
    )
    changed = {one.place for one in drift.measure_clinic_drift(box.clinical, box.config) if one.alarms}
    places = _overview(box).all()
    return render_template("calibration.html", places=places, wanted=len(wanted), cases=cases, changed=changed)


@blueprint.get("/calibration/figures")
@guard.require_role(Role.DOCTOR, Role.TECHNICIAN)
def figures() -> ResponseReturnValue:
    """One finding of one model on one machine."""
    return _render_figures()


@blueprint.post("/calibration/propose")
@guard.require_role(Role.DOCTOR, Role.TECHNICIAN)
def propose() -> ResponseReturnValue:
    """Propose the threshold that the page has suggested."""
    box, person, stated = current_box(), _require_user(), _parse_inputs()
    overview = _overview(box)
    threshold = request.form.get("threshold", type=float)
    if threshold is None or not 0.0 < threshold < 1.0:
        abort(400)
    place = _require_site(overview)
    try:
        overview.propose(
            place, threshold, person.shown, person.role, miss_costs=stated.miss_costs, prevalence=stated.prevalence
        )
    except ModelSiteUnknown as error:
        return _render_figures(error)
    return redirect(_build_url(place))


@blueprint.post("/calibration/agree")
@guard.require_role(Role.DOCTOR, Role.TECHNICIAN)
def agree() -> ResponseReturnValue:
    """Agree to the proposal that the page has shown; with both roles it is in force."""
    overview, person = _overview(current_box()), _require_user()
    place = _require_site(overview)
    try:
        overview.agree(place, request.form.get("content", ""), person.shown, person.role)
    except (ProposalOutdated, SamePersonAgreed) as error:
        return _render_figures(error)
    return redirect(_build_url(place))


@blueprint.post("/calibration/undo")
@guard.require_role(Role.DOCTOR, Role.TECHNICIAN)
def undo() -> ResponseReturnValue:
    """Back to the model's own threshold; a suspended model goes on."""
    overview = _overview(current_box())
    place = _require_site(overview)
    try:
        overview.undo(place, _require_user().shown)
    except (NoOperatingPoint, NotSuspended) as error:
        return _render_figures(error)
    return redirect(_build_url(place))


@blueprint.get("/calibration/outcomes")
@guard.require_role(Role.DOCTOR, Role.TECHNICIAN)
def table() -> ResponseReturnValue:
    return _render_table()


@blueprint.post("/calibration/outcomes")
@guard.require_role(Role.DOCTOR, Role.TECHNICIAN)
def take() -> ResponseReturnValue:
    """Take all lines of a table, or none: then each line that cannot be used is named."""
    box, file = current_box(), request.files.get("table")
    if file is None:
        abort(400)
    outcomes = OutcomeImport(box.clinical, box.state)
    try:
        checked = outcomes.check(file.read(), file.filename or "")
    except OutcomesUnreadable as error:
        return _render_table(problem=error)
    if checked.errors:
        return _render_table(checked=checked)
    return _render_table(taken=outcomes.store(checked, _require_user().shown, complete="complete" in request.form))


def _render_table(
    problem: LanternError | None = None, checked: CheckedOutcomes | None = None, taken: ImportedOutcomes | None = None
) -> ResponseReturnValue:
    said = Reason.from_error(problem).text(g.language) if problem is not None else ""
    errors = checked.errors if checked is not None else ()
    status = 422 if said or errors else 200
    return render_template(
        "outcomes.html", problem=said, errors=errors[:_MOST_LINES], count=len(errors), taken=taken
    ), status


def _render_figures(problem: LanternError | None = None) -> ResponseReturnValue:
    """The page of one place, with what could not be done there."""
    box = current_box()
    overview, stated = _overview(box), _parse_inputs()
    place = _require_site(overview)
    found = overview.compute_figures(place)
    watched = next(
        (one for one in drift.measure_clinic_drift(box.clinical, box.config) if one.place == place.place), None
    )
    suggestion, said = None, problem
    if "miss_costs" in request.args and place.state is not LocalState.SUSPENDED:
        try:
            suggestion = overview.suggest(place, stated.miss_costs, stated.prevalence)
        except TooFewConfirmed as error:
            said = said or error
    body = render_template(
        "figures.html",
        here=place,
        person=_require_user(),
        found=found,
        cautious=overview.compute_figures(place, cautious=True),
        wrong=MOST_WRONG,
        needed=overview.list_images_needed(found),
        watched=watched,
        first=FIRST_IMAGES,
        stated=stated,
        least=LEAST_CONFIRMED,
        suggestion=suggestion,
        problem=Reason.from_error(said).text(g.language) if said else "",
        proposed=_list_proposed_figures(place),
        **_build_charts(overview, place, found, stated, suggestion),
    )
    return body, 409 if problem is not None else 200


def _build_charts(
    overview: PerformanceOverview,
    place: LocalPerformance,
    found: ClinicFigures,
    stated: SuggestionInputs,
    suggestion: ThresholdSuggestion | None,
) -> dict[str, object]:
    """The two curves, the thresholds marked in them, and the table beside them."""
    curve = overview.compute_curve(place, stated.prevalence)
    shown = [(place.to_displayed(point.threshold), point) for point in curve]
    marks = [("now", found.threshold), *([("suggested", suggestion.threshold)] if suggestion else [])]
    rows = [*(place.to_pack_prevalence(tenth / 10) for tenth in range(1, 10)), found.threshold]
    return {
        "curves": curves,
        "missed": curves.build_chart([(at, point.missed) for at, point in shown]),
        "referred": curves.build_chart([(at, point.referred) for at, point in shown]),
        "marks": [(kind, curves.scale_x(place.to_displayed(threshold))) for kind, threshold in marks],
        "rows": overview.evaluate_thresholds(place, sorted(rows), stated.prevalence) if curve else (),
    }


def _list_proposed_figures(place: LocalPerformance) -> dict[str, tuple[float, float, float]]:
    """Sensitivity and specificity at the proposed threshold, by the figures that were proposed with it."""
    told = place.proposal.figures if place.proposal is not None else {}
    return {name: tuple(told[name]) for name in ("sensitivity", "specificity") if told.get(name)}


def _parse_inputs() -> SuggestionInputs:
    """What the request states; 400 for a cost that is not positive or a share outside 0 to 100 per cent."""
    costs, percent = request.values.get("miss_costs", str(COST)), request.values.get("prevalence", "")
    try:
        stated = SuggestionInputs(float(costs), float(percent) / 100.0 if percent.strip() else None)
    except ValueError:
        abort(400)
    if not 0.0 < stated.miss_costs < 1e6 or not (stated.prevalence is None or 0.0 < stated.prevalence < 1.0):
        abort(400)
    return stated


def _require_site(overview: PerformanceOverview) -> LocalPerformance:
    """The place that the request names; 404 where the box has none."""
    pack, version, machine, finding = (
        request.values.get(name, "") for name in ("pack", "version", "machine", "finding")
    )
    try:
        return overview.find_site(pack, machine, finding, version)
    except ModelSiteUnknown:
        abort(404)


def _build_url(place: LocalPerformance) -> str:
    named = place.place
    return url_for(
        "calibration.figures", pack=named.pack, version=named.version, machine=named.machine, finding=place.finding
    )


def _overview(box: Box) -> PerformanceOverview:
    return PerformanceOverview(box.clinical, box.config)


def _require_user() -> User:
    person = guard.current_user()
    if person is None:
        abort(401)
    return person
