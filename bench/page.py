"""The page of figures: docs/performance.md and its plot, made of what the parts wrote and of nothing else.

python -m bench.page [FOLDER] [--out FILE]

Given one part's JSON file instead of the folder, it writes a page of that part alone, without a plot.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader

from bench import plot
from bench.outcome import MANY, Fact, Outcome, Row, Table, figure

NAME: Final = "performance.md"
DEFAULT: Final = Path(__file__).resolve().parents[1] / "docs" / NAME
_FOLDER: Final = DEFAULT.parents[1] / "build" / "bench"
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
        options.out.write_text(render_part(Outcome.from_json(options.folder.read_text("utf-8"))), "utf-8")
    else:
        write(options.folder, options.out)


def write(folder: Path, out: Path) -> None:
    """Make the page *out*, and the plot beside it, of the JSON files in *folder*."""
    outcomes = [Outcome.from_json(path.read_text("utf-8")) for path in folder.glob("*.json")]
    outcomes.sort(key=lambda outcome: (*_ORDER, outcome.part).index(outcome.part))
    picture = out.with_suffix(".svg")
    out.write_text(_render("Performance", outcomes, _common(outcomes), picture.name), "utf-8")
    plotted = [table for outcome in outcomes for table in outcome.tables if table.plotted]
    if plotted:
        picture.write_text(plot.draw(plotted), "utf-8")


def render_part(outcome: Outcome) -> str:
    """One part as a page of its own."""
    return _render(outcome.title, [outcome], {}, "")


def _render(title: str, outcomes: Sequence[Outcome], common: Mapping[str, Fact], picture: str) -> str:
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # Markdown, of our own figures
    )
    templates.filters |= {"facts": _facts, "figure": figure, "markdown": _markdown}
    return templates.get_template("page.md.j2").render(title=title, outcomes=outcomes, common=common, picture=picture)


def _common(outcomes: Sequence[Outcome]) -> dict[str, Fact]:
    """The facts of the machine that are the same in all parts."""
    first = outcomes[0].machine if outcomes else {}
    return {
        key: value
        for key, value in first.items()
        if key not in _OF_THE_MOMENT and all(outcome.machine.get(key) == value for outcome in outcomes)
    }


def _facts(facts: Mapping[str, Fact], known: Mapping[str, Fact] | None = None) -> str:
    """*facts* but those that are *known*."""
    return " · ".join(
        f"{key.replace('_', ' ')}: {f'{value:,}' if isinstance(value, int) else value}"
        for key, value in facts.items()
        if key not in (known or {})
    )


def _markdown(table: Table) -> str:
    """*table* with the columns that its samples need; the facts below it."""
    versions = list(dict.fromkeys(row.version for row in table.rows if row.version))
    many = any(len(row.samples) >= MANY for row in table.rows)
    single = all(len(row.samples) == 1 for row in table.rows)
    columns = {
        table.title: "---",
        (table.unit if single else f"median, {table.unit}"): "---:",
        **({"p95": "---:"} if many else {}),
        **({} if single else {"least – most": "---:", "n": "---:"}),
        **({"× first": "---:"} if table.compared else {}),
        **({"version": "---"} if len(versions) > 1 else {}),
    }

    def cells(row: Row) -> dict[str, str]:
        ours = f"**{row.name}**" if row.kind == "lantern" and table.mixed else row.name
        return {
            table.title: ours,
            "p95": figure(row.p95) if len(row.samples) >= MANY else "",
            "least – most": f"{figure(min(row.samples))} – {figure(max(row.samples))}",
            "n": str(len(row.samples)),
            "× first": figure(row.median / table.rows[0].median) if table.compared else "",
            "version": row.version,
        } | dict.fromkeys((table.unit, f"median, {table.unit}"), figure(row.median))

    lines = [tuple(columns), tuple(columns.values())]
    lines += [tuple(cells(row)[column] for column in columns) for row in table.rows]
    facts = dict(table.facts) | ({"version": versions[0]} if len(versions) == 1 else {})
    below = f"\n\n{_facts(facts)}" if facts else ""
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + below


if __name__ == "__main__":
    main()
