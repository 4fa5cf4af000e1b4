"""The page of figures: docs/performance.md and its plot, made of what the parts wrote and of nothing else.

python -m bench.page [FOLDER] [--out FILE]

Given one part's JSON file instead of the folder, it writes a page of that part alone, without a plot.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from bench import plot
from bench.harness import REPOSITORY
from bench.outcome import MANY, Fact, Goal, Outcome, Row, Table, figure

NAME: Final = "performance.md"
DEFAULT: Final = REPOSITORY / "docs" / NAME
_FOLDER: Final = REPOSITORY / "build" / "bench"
_ORDER: Final = ("intake", "reading", "decode", "pipeline", "start", "memory", "hospital", "line", "viewer", "size")
_OF_THE_MOMENT: Final = frozenset({"load_before"})


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.page", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument(
        "folder", type=Path, nargs="?", default=_FOLDER, help="of the parts' JSON files, or one such file"
    )
    parser.add_argument("--out", type=Path, default=DEFAULT, help="the page; its plot lies beside it")
    options = parser.parse_args()
    if options.folder.is_file():
        options.out.write_text(alone(Outcome.of_json(options.folder.read_text("utf-8"))), "utf-8")
    else:
        write(options.folder, options.out)


def write(folder: Path, out: Path) -> None:
    """Make the page *out*, and the plot beside it, of the JSON files in *folder*."""
    outcomes = [Outcome.of_json(path.read_text("utf-8")) for path in folder.glob("*.json")]
    outcomes.sort(key=lambda outcome: (*_ORDER, outcome.part).index(outcome.part))
    picture = out.with_suffix(".svg")
    out.write_text(render(outcomes, picture.name), "utf-8")
    picture.write_text(plot.draw([table for outcome in outcomes for table in outcome.tables if table.plotted]), "utf-8")


def render(outcomes: Sequence[Outcome], picture: str) -> str:
    """The page as Markdown."""
    return "\n".join(_lines(outcomes, picture)) + "\n"


def alone(outcome: Outcome) -> str:
    """One part as a page of its own."""
    return "\n".join(_alone(outcome)) + "\n"


def _alone(outcome: Outcome) -> Iterator[str]:
    yield f"# {outcome.title}"
    yield ""
    yield "This page is written by `python -m bench.page` from what the command below measured; no figure here is typed"
    yield "by hand. Absolute times are this machine's; ratios within a table carry further."
    if outcome.quick:
        yield ""
        yield "**These are figures of a quick run, which only shows that the bench works.**"
    yield ""
    yield from _goals([(outcome.title, goal) for goal in outcome.goals])
    yield from _part(outcome, {})


def _lines(outcomes: Sequence[Outcome], picture: str) -> Iterator[str]:
    yield "# Performance"
    yield ""
    yield "This page and its plot are written by `python -m bench.page` from what `make bench` measured; no figure here"
    yield "is typed by hand. Absolute times are this machine's; ratios within a table carry further."
    if any(outcome.quick for outcome in outcomes):
        yield ""
        yield "**These are figures of a quick run, which only shows that the benches work.**"
    yield ""
    common = _common(outcomes)
    yield _facts(common)
    yield ""
    yield "The variants of a table took turns in one session; receivers, boxes and bare models are a process each. A"
    yield "*limit* is what the machine needs for nothing but the named step. Peers are Debian's packages as installed."
    yield ""
    yield f"![Medians as bars, with the spread]({picture})"
    yield ""
    yield from _goals([(outcome.title, goal) for outcome in outcomes for goal in outcome.goals])
    for outcome in outcomes:
        yield from _part(outcome, common)


def _common(outcomes: Sequence[Outcome]) -> dict[str, Fact]:
    """The facts of the machine that are the same in all parts."""
    first = outcomes[0].machine if outcomes else {}
    return {
        key: value
        for key, value in first.items()
        if key not in _OF_THE_MOMENT and all(outcome.machine.get(key) == value for outcome in outcomes)
    }


def _facts(facts: Mapping[str, Fact]) -> str:
    return " · ".join(f"{key.replace('_', ' ')}: {_value(value)}" for key, value in facts.items())


def _value(value: Fact) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def _goals(goals: Sequence[tuple[str, Goal]]) -> Iterator[str]:
    if not goals:
        return
    yield "## Goals, on two cores"
    yield ""
    yield from _markdown(
        ("part", "goal", "wanted", "found", ""),
        (
            (
                part,
                goal.text,
                f"{'≥' if goal.at_least else '≤'} {goal.bound:g} {goal.unit}",
                f"{figure(goal.found)} {goal.unit}",
                "reached" if goal.reached else "**not reached**",
            )
            for part, goal in goals
        ),
        numbers={2, 3},
    )
    yield ""


def _part(outcome: Outcome, common: Mapping[str, Fact]) -> Iterator[str]:
    yield f"## {outcome.title}"
    yield ""
    yield from outcome.about.splitlines()
    yield ""
    own = {key: value for key, value in outcome.machine.items() if key not in common}
    yield f"`{outcome.command}` · {_facts(own)}"
    yield ""
    for table in outcome.tables:
        yield from _table(table)
    for sentence in outcome.left_out:
        yield f"Left out: {sentence.rstrip('.')}."
        yield ""


def _table(table: Table) -> Iterator[str]:
    versions = list(dict.fromkeys(row.version for row in table.rows if row.version))
    many = any(len(row.samples) >= MANY for row in table.rows)
    single = all(len(row.samples) == 1 for row in table.rows)
    columns = [table.title, table.unit if single else f"median, {table.unit}"]
    if many:
        columns.append("p95")
    if not single:
        columns += ["least – most", "n"]
    if table.compared:
        columns.append("× first")
    if len(versions) > 1:
        columns.append("version")
    facts = dict(table.facts) | ({"version": versions[0]} if len(versions) == 1 else {})

    def cells(row: Row) -> Iterator[str]:
        yield f"**{row.name}**" if row.kind == "lantern" and table.mixed else row.name
        yield figure(row.median)
        if many:
            yield figure(row.p95) if len(row.samples) >= MANY else ""
        if not single:
            yield f"{figure(min(row.samples))} – {figure(max(row.samples))}"
            yield str(len(row.samples))
        if table.compared:
            yield figure(row.median / table.rows[0].median)
        if len(versions) > 1:
            yield row.version

    yield from _markdown(
        columns, map(tuple, map(cells, table.rows)), numbers=set(range(1, len(columns))) - _last(versions, columns)
    )
    yield ""
    if facts:
        yield _facts(facts)
        yield ""


def _last(versions: Sequence[str], columns: Sequence[str]) -> set[int]:
    """The column of versions, which is text."""
    return {len(columns) - 1} if len(versions) > 1 else set()


def _markdown(columns: Sequence[str], rows: Iterable[Sequence[str]], numbers: set[int]) -> Iterator[str]:
    yield f"| {' | '.join(columns)} |"
    yield f"| {' | '.join('---:' if index in numbers else '---' for index in range(len(columns)))} |"
    for row in rows:
        yield f"| {' | '.join(row)} |"


if __name__ == "__main__":
    main()
