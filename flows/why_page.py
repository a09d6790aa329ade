"""What `assay why` prints without --json."""

from collections.abc import Iterator

from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from flows.changes import ABSENT, Change, in_words
from flows.why import Reasons, Why

SHOWN_VALUE = 60  # characters of a parameter's value
SHOWN_COMMITS = 5


def why_page(reasons: Reasons) -> Iterator[Table | Padding | str]:
    for number, one in enumerate(reasons.stages):
        if number and (one.changes or reasons.stages[number - 1].changes):
            yield ""
        colour = "yellow" if one.stale else "cyan" if one.would_run else "green"
        yield f"[{colour}]●[/] {escape(one.sentence)}"
        if one.changes:
            yield Padding(_changes(one), (0, 0, 0, 2), expand=False)


def _changes(one: Why) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for change in one.changes:
        table.add_row(change.kind, "\n".join(_lines(change)))
    return table


def _lines(change: Change) -> Iterator[str]:
    if change.kind == "parameter" and (change.old is not None or change.new is not None):
        yield f"{escape(change.name)}  [red]{_short(change.old)}[/] → [green]{_short(change.new)}[/]"
    else:
        yield escape(change.sentence)
    if change.uncommitted:
        yield "[dim]not committed[/]"
    for commit in change.commits[:SHOWN_COMMITS]:
        yield f"[dim]{commit.short} {commit.date}  {escape(commit.subject)}[/]"
    if len(change.commits) > SHOWN_COMMITS:
        yield f"[dim]and {len(change.commits) - SHOWN_COMMITS} commits before[/]"


def _short(value: object) -> str:
    text = in_words(value)
    return escape(text if len(text) <= SHOWN_VALUE else f"{text[: SHOWN_VALUE - 1]}…") if value != ABSENT else f"[dim]{ABSENT}[/]"
