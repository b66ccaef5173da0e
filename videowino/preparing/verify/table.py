"""Findings as people read them: a table, and a summary line."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from rich import box
from rich.table import Table
from rich.text import Text

from videowino.preparing.verify.findings import KINDS, Finding
from videowino.preparing.verify.scan import Scan

_NAMED = 3


def findings_table(findings: list[Finding], show: int) -> Table:
    """A row a finding, by kind.

    Args:
        findings: in order of their kinds.
        show: rows of each kind at most; 0 for all of them.
    """
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    table.add_column("found", no_wrap=True)
    table.add_column("path", overflow="fold", ratio=5)
    table.add_column("split", justify="right")
    table.add_column("what was seen", overflow="fold", ratio=6)
    by_kind = defaultdict(list)
    for finding in findings:
        by_kind[finding.kind].append(finding)
    for kind, rows in by_kind.items():
        shown = rows if show == 0 or len(rows) <= show else rows[:show]
        style = "yellow" if KINDS[kind].warning else "red" if KINDS[kind].exclude else None
        for finding in shown:
            table.add_row(
                Text(kind, style or ""),
                Text(readable(finding.path)),
                finding.split,
                Text(readable(finding.detail)),
            )
        if len(shown) < len(rows):
            table.add_row(Text(kind, style or ""), f"... and {len(rows) - len(shown):,} more")
        table.add_section()
    return table


def summary(findings: Iterable[Finding]) -> str:
    """How many of each kind: "2 corrupt, 1 short; warnings: 1 group in both"."""
    counts = Counter(finding.kind for finding in findings)
    found = [f"{counts[name]:,} {name}" for name in counts if not KINDS[name].warning]
    warned = [f"{counts[name]:,} {name}" for name in counts if KINDS[name].warning]
    text = ", ".join(found) or "all is well"
    return text + (f"; warnings: {', '.join(warned)}" if warned else "")


def notes_line(scans: Mapping[str, Scan]) -> str:
    """What is fine but worth knowing: "good, but: 2 grey (a.avi, b.avi), ..."; "" for nothing."""
    noted = defaultdict(list)
    for path, scan in scans.items():
        if scan.kind:
            continue
        for name, value in scan.notes:
            noted[name].append(path.rpartition("/")[2] + (f": {value}" if value else ""))
    parts = []
    for name, files in sorted(noted.items()):
        more = f" and {len(files) - _NAMED:,} more" if len(files) > _NAMED else ""
        parts.append(f"{len(files):,} {name} ({', '.join(files[:_NAMED])}{more})")
    return readable("; ".join(parts))


def readable(text: str) -> str:
    r"""A name on one line: line ends as \n, other signs that steer a terminal as \x.."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
