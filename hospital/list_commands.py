"""The commands of `lantern-hospital` that list, row by row, what came and what was done."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Final

from hospital.hospital_site import HospitalSite
from hospital.inbox import inbox_tables
from hospital.inbox.inbox_db import Inbox

Command = Callable[..., argparse.ArgumentParser]
Open = Callable[[argparse.Namespace], HospitalSite]

_DAYS: Final = 30
"""What `summaries` lists unless it is told since when: a county's inbox holds millions, of years."""


def add_list_commands(commands: object, command: Command, opened: Open) -> None:
    """Add them to the parser.  *command* makes one, *opened* gives the folder that it is about."""
    listed = command(
        commands,
        "summaries",
        lambda options: _summaries(options, opened(options)),
        "the case revisions received, as they came",
        "lantern-hospital summaries --since 2026-11-22 --box clinic-7 --json",
    )
    listed.add_argument(
        "--since",
        type=_parse_moment,
        metavar="TIME",
        help="received at that time or later, as in 2026-11-22 or 2026-11-22T08:00+08:00, UTC where no zone is named; "
        f"“all” lists every one; default: the last {_DAYS} days",
    )
    listed.add_argument("--box", metavar="BOX", help="of this box alone")
    command(
        commands,
        "aside",
        lambda options: _aside(options, opened(options)),
        "messages that were not counted, and why",
        "lantern-hospital aside --json",
    )
    command(
        commands,
        "figures",
        lambda options: _figures(options, opened(options)),
        "how the packs do at each clinic, by films confirmed there",
        "lantern-hospital figures --json",
    )
    command(
        commands,
        "reports",
        lambda options: _reports(options, opened(options)),
        "the latest report of each box on packs, films, software, and whatever else it reports",
        "lantern-hospital reports --json",
    )
    command(
        commands,
        "enrolments",
        lambda options: _enrolments(options, opened(options)),
        "who asked over the line to be enrolled, and which codes were typed",
        "lantern-hospital enrolments --json",
    )


def _parse_moment(text: str) -> str:
    """``2026-11-22T08:00+08:00``, as the inbox writes times; empty for ``all``."""
    if text == "all":
        return ""
    try:
        given = datetime.fromisoformat(text)
        moment = given.astimezone(UTC) if given.tzinfo else given.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError("give a date, or a date and time, as in 2026-11-22T08:00") from None
    return moment.isoformat(timespec="milliseconds")


def _summaries(options: argparse.Namespace, site: HospitalSite) -> int:
    since: str | None = options.since
    with closing(_open_inbox(site)) as inbox:
        if since is None:
            since = (datetime.now(UTC) - timedelta(days=_DAYS)).isoformat(timespec="milliseconds")
            if inbox_tables.has_cases_before(inbox.connection, since, options.box):
                print(f"Listed: what came in the last {_DAYS} days. “--since all” lists all.", file=sys.stderr)
        if options.json:
            for line in inbox_tables.stream_json_lines(inbox.connection, since=since, box=options.box):
                print(line)  # unflushed: there may be a million
            return 0
        for row in inbox_tables.stream_cases(inbox.connection, since=since, box=options.box):
            print(f"{row.received_at[:16]}  {row.box:<20}  {row.case}  {row.revision:>3}  {row.priority}")
    return 0


def _aside(options: argparse.Namespace, site: HospitalSite) -> int:
    with closing(_open_inbox(site)) as inbox:
        for row in inbox.list_aside(1000):
            if options.json:
                print(json.dumps(row, ensure_ascii=False), flush=True)
            else:
                note = "  (ordinary: nothing to do)" if row["ordinary"] else ""
                print(f"{row['last_at'][:16]}  {row['box'] or '-':<20}  {row['code']}{note}")
    return 0


def _figures(options: argparse.Namespace, site: HospitalSite) -> int:
    with closing(_open_inbox(site)) as inbox:
        for row in inbox.list_figures():
            if options.json:
                print(json.dumps(row, ensure_ascii=False), flush=True)
            else:
                auc = "-" if not row["auc"] else "{:.2f} ({:.2f} to {:.2f})".format(*(one / 100 for one in row["auc"]))
                print(
                    f"{row['received_at'][:16]}  {row['box']:<20}  {row['pack']} {row['version']}  {row['machine']}  "
                    f"{row['finding']}  {row['state']}  {row['confirmed']} confirmed  AUC {auc}"
                )
    return 0


def _reports(options: argparse.Namespace, site: HospitalSite) -> int:
    with closing(_open_inbox(site)) as inbox:
        for row in inbox_tables.list_latest_reports(inbox.connection):
            said = json.dumps(row["report"], ensure_ascii=False)
            if options.json:
                print(json.dumps(row, ensure_ascii=False), flush=True)
            else:
                print(f"{row['received_at'][:16]}  {row['box']:<20}  {row['kind']}  {row['subject']}  {said}")
    return 0


def _enrolments(options: argparse.Namespace, site: HospitalSite) -> int:
    with closing(_open_inbox(site)) as inbox:
        for row in inbox.connection.execute("SELECT at, actor, action, box, source FROM enrol_audit ORDER BY id"):
            if options.json:
                print(json.dumps(dict(row)), flush=True)
            else:
                what = f"{row['action']}  {row['source']}".rstrip()
                print(f"{row['at'][:16]}  {row['box'] or '-':<20}  {row['actor']:<7}  {what}")
    return 0


def enrol_by_code(options: argparse.Namespace, site: HospitalSite) -> int:
    """`lantern-hospital enrol --code`: enrol the box that asks over the line."""
    from hospital import box_enrolment

    box = box_enrolment.enrol_by_label_code(site, options.code, box_enrolment.Actor.CONSOLE)
    if options.json:
        print(json.dumps({"box": box.box, "fingerprint": box.fingerprint}))
    else:
        print(f"Box {box.box} is enrolled, and “serve” sends it its certificate. Nothing has to be carried there.")
    return 0


def _open_inbox(site: HospitalSite) -> Inbox:
    """The inbox; what happened to it is said on stderr until somebody has seen it."""
    inbox = site.open_inbox()
    for loss in inbox_tables.list_unseen_losses(inbox.connection):
        print(f"{loss.at[:16]} UTC  {loss.code}: {loss.text()}", file=sys.stderr)
    return inbox
