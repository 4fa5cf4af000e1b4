"""`lantern calibration`: how the packs do at this clinic, outcomes from a table, and thresholds of the clinic's own.

Who proposes or confirms names an account of the viewer. Nobody asks for its password here: whoever may run this
command can already read and change the box's state.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firmware_app.cli import user
from firmware_app.cli.terminal import Commands, add_command, print_json
from firmware_app.core.language import N_, printable_language, translate

if TYPE_CHECKING:
    from firmware_app.cases.clinical_db import ClinicalDatabase
    from firmware_app.core.clinic_accuracy import Estimate
    from firmware_app.core.settings import Config
    from firmware_app.monitoring.local_performance import LocalPerformance, PerformanceOverview

_DONE, _FAILED = 0, 1


def add_to(commands: Commands) -> None:
    """Add `calibration` with its commands to the parser."""
    calibration = commands.add_parser(
        "calibration", help="how the models do at this clinic", epilog="Example: lantern calibration show"
    )
    below = calibration.add_subparsers(required=True, metavar="COMMAND")
    show = add_command(
        below,
        "show",
        _show,
        "figures of every model on every imaging machine, by confirmed films",
        "lantern calibration show --json",
    )
    show.add_argument("--cautious", action="store_true", help="allow for wrong readings by the clinic's own doctors")
    table = add_command(
        below,
        "import",
        _import,
        "outcomes of cases from a CSV file; all lines or none",
        "lantern calibration import register.csv --account li",
    )
    table.add_argument(
        "file",
        type=Path,
        metavar="FILE",
        help="columns: case, or accession, or patient_id and "
        "exam_date; outcome; finding and source may follow (docs/local-calibration.md)",
    )
    table.add_argument(
        "--complete", action="store_true", help="the file has the outcome of every film of its time, not of chosen ones"
    )
    example = "chest-xray-adult m-0123456789abcdef0123 --account li"
    propose = add_command(
        below,
        "propose",
        _propose,
        "suggest a threshold for a stated cost, and propose it",
        f"lantern calibration propose {example} --miss-costs 10",
    )
    propose.add_argument(
        "--miss-costs",
        type=float,
        metavar="N",
        default=10.0,
        help="a missed case is as bad as so many needless referrals; default: 10",
    )
    propose.add_argument("--prevalence", type=float, metavar="P", help="default: that of the confirmed films")
    propose.add_argument("--threshold", type=float, metavar="T", help="propose this one instead of the suggestion")
    confirm = add_command(
        below,
        "confirm",
        _confirm,
        "agree to the latest proposal; with the second person it is in force",
        f"lantern calibration confirm {example} --content 3f9c…",
    )
    confirm.add_argument("--content", required=True, metavar="DIGEST", help="as “propose” or “show --json” printed it")
    undo = add_command(
        below,
        "undo",
        _undo,
        "back to the model's own threshold, or let a suspended model go on",
        f"lantern calibration undo {example}",
    )
    for parser in (propose, confirm, undo):
        parser.add_argument("pack", metavar="MODEL", help="its name, as “lantern calibration show” prints it")
        parser.add_argument("machine", metavar="MACHINE", help="its m-… there")
        parser.add_argument("--finding", metavar="CODE", help="where the model looks for several")
    for parser in (table, propose, confirm, undo):
        parser.add_argument("--account", required=True, metavar="NAME", help="the account of the person who says so")


def _show(options: argparse.Namespace) -> int:
    from firmware_app.core.clinic_accuracy import ImagesNeeded

    config, clinical, overview = _open(options)
    shown = overview.all()
    for here in shown:
        found = overview.compute_figures(here, cautious=options.cautious)
        if options.json:
            from firmware_app.monitoring.operating_points import format_figures

            needs = [
                {name: getattr(images_needed, name) for name in ImagesNeeded.__slots__}
                for images_needed in overview.list_images_needed(found)
            ]
            print_json(_performance_to_json(here) | {"figures": format_figures(found), "needed": needs})
            continue
        language = printable_language(config.box.language)
        print(f"{here.place.pack} {here.place.version}  {here.label(language)}  {here.place.machine}  {here.machine}")
        print(
            f"  {here.state.value}, threshold {here.threshold:.4f}; {found.read} read, {found.confirmed} confirmed, "
            f"{found.positives} of them positive, {here.aside} not asked for"
        )
        if here.unlabelled is not None:
            said = N_("Threshold set from {n} films of this machine, without confirmed results; the model's own: {own}")
            print("  " + translate(said, language).format(n=here.unlabelled.films, own=f"{here.own:.4f}"))
        for name in ("auc", "sensitivity", "specificity", "ppv", "npv", "prevalence"):
            print(f"  {name:<13}{_format_estimate(getattr(found, name))}")
        if here.proposal is not None:
            agreed = ", ".join(f"{role} {account}" for role, account in here.proposal.agreed.items())
            print(f"  proposed: threshold {here.proposal.threshold:.4f}, agreed by {agreed}: {here.proposal.digest}")
    if not shown and not options.json:
        _say(config, N_("No film has been read yet, so there is nothing to show."))
    clinical.database.close()
    return _DONE


def _import(options: argparse.Namespace) -> int:
    from firmware_app.core.state_dir import StateDir
    from firmware_app.monitoring.errors import OutcomesUnreadable
    from firmware_app.monitoring.outcomes import OutcomeImport

    config, clinical, _ = _open(options)
    person = user.find_account(options.account, config)
    try:
        data = options.file.read_bytes()
    except OSError as error:
        raise OutcomesUnreadable(path=str(options.file), detail=error.strerror or "") from None
    table = OutcomeImport(clinical, StateDir(config.state.dir))
    checked = table.check(data, options.file.name)
    for line_error in checked.errors:
        text = line_error.reason.text(
            config.box.language if options.json else printable_language(config.box.language, sys.stderr)
        )
        if options.json:
            print_json({"line": line_error.line, "error": {"code": line_error.reason.code, "text": text}})
        else:
            print(f"{options.file.name}:{line_error.line}: {text}", file=sys.stderr)
    taken = table.store(checked, person.shown, complete=options.complete)
    if options.json:
        suspended = [
            {"pack": model_site.pack, "version": model_site.version, "machine": model_site.machine}
            for model_site in taken.suspended
        ]
        print_json({"added": taken.added, "known": taken.known, "suspended": suspended})
    else:
        _say(config, N_("Outcomes added: {added}; known already: {known}."), added=taken.added, known=taken.known)
        for place in taken.suspended:
            _say(
                config,
                N_("The model “{pack}” is suspended on {machine}: these films show that it judges too badly."),
                pack=place.pack,
                machine=place.machine,
            )
    clinical.database.close()
    return _DONE


def _propose(options: argparse.Namespace) -> int:
    config, clinical, overview = _open(options)
    person, here = (
        user.find_account(options.account, config),
        overview.find_site(options.pack, options.machine, options.finding),
    )
    threshold, told = options.threshold, {}
    if threshold is None:
        suggestion = overview.suggest(here, options.miss_costs, options.prevalence)
        threshold = suggestion.threshold
        told = {name: round(getattr(suggestion, name), 4) for name in suggestion.__slots__}
    proposal = overview.propose(
        here, threshold, person.shown, person.role, miss_costs=options.miss_costs, prevalence=options.prevalence
    )
    if options.json:
        print_json(
            {
                "content": proposal.digest,
                "threshold": threshold,
                "agreed": dict(proposal.agreed),
                "figures": dict(proposal.figures),
                "suggestion": told or None,
            }
        )
    else:
        _say(
            config,
            N_("Threshold {threshold} is proposed. The second person confirms it with --content {digest}"),
            threshold=f"{threshold:.4f}",
            digest=proposal.digest,
        )
    clinical.database.close()
    return _DONE


def _confirm(options: argparse.Namespace) -> int:
    config, clinical, overview = _open(options)
    person, here = (
        user.find_account(options.account, config),
        overview.find_site(options.pack, options.machine, options.finding),
    )
    point = overview.agree(here, options.content, person.shown, person.role)
    if options.json:
        print_json({"in_force": point is not None, "threshold": point.threshold if point is not None else None})
    elif point is not None:
        _say(config, N_("Threshold {threshold} is in force from the next film on."), threshold=f"{point.threshold:.4f}")
    else:
        _say(config, N_("Noted. It is in force when a doctor and a technician have both agreed."))
    clinical.database.close()
    return _DONE


def _undo(options: argparse.Namespace) -> int:
    config, clinical, overview = _open(options)
    person = user.find_account(options.account, config)
    overview.undo(overview.find_site(options.pack, options.machine, options.finding), person.shown)
    here = overview.find_site(options.pack, options.machine, options.finding)
    if options.json:
        print_json(_performance_to_json(here))
    else:
        _say(
            config,
            N_("The model works with the threshold {threshold} from the next film on."),
            threshold=f"{here.threshold:.4f}",
        )
    clinical.database.close()
    return _DONE


# --- details ------------------------------------------------------------------------------------------------------


def _open(options: argparse.Namespace) -> tuple[Config, ClinicalDatabase, PerformanceOverview]:
    from firmware_app.cases.clinical_db import ClinicalDatabase
    from firmware_app.core import clock
    from firmware_app.core.settings import load_config
    from firmware_app.core.state_dir import StateDir
    from firmware_app.monitoring.local_performance import PerformanceOverview

    config = load_config(options.config)
    state = StateDir(config.state.dir)
    clock.start_clock(state, "console", writes=False)
    clinical = ClinicalDatabase(state.clinical_db)
    clinical.require()
    return config, clinical, PerformanceOverview(clinical, config)


def _performance_to_json(here: LocalPerformance) -> dict[str, Any]:
    proposal, suspension, unlabelled = here.proposal, here.suspension, here.unlabelled
    return {
        "pack": here.place.pack,
        "version": here.place.version,
        "machine": here.place.machine,
        "name": here.machine,
        "finding": here.finding,
        "state": here.state.value,
        "threshold": here.threshold,
        "own_threshold": here.own,
        "unlabelled": None
        if unlabelled is None
        else {
            "films": unlabelled.films,
            "mean": unlabelled.log_odds.mean,
            "spread": unlabelled.log_odds.spread,
            "at": unlabelled.at.text(),
        },
        "read": here.read,
        "aside": here.aside,
        "sources": {source.value: count for source, count in here.sources.items()},
        "proposal": None
        if proposal is None
        else {"content": proposal.digest, "threshold": proposal.threshold, "agreed": dict(proposal.agreed)},
        "suspended": None
        if suspension is None
        else {
            "at": suspension.at.text(),
            "rule": suspension.rule,
            "confirmed": suspension.confirmed,
            "positives": suspension.positives,
            "auc": [suspension.auc, suspension.auc_low, suspension.auc_high],
        },
    }


def _format_estimate(estimate: Estimate | None) -> str:
    return "-" if estimate is None else f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"


def _say(config: Config, sentence: str, **details: object) -> None:
    print(translate(sentence, printable_language(config.box.language)).format(**details))
