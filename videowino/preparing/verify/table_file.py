"""Findings as a CSV file that the data modules take as an exclusion list."""

from __future__ import annotations

import csv
from collections.abc import Collection
from pathlib import Path

from videowino.data.exclusions import COLUMNS, read_rows
from videowino.files import replacing
from videowino.preparing.verify.findings import KINDS, Finding


def read_earlier(file: Path) -> list[dict[str, str]]:
    """The rows of an earlier file; none where there is none.

    Raises:
        ValueError: there is something else in the file.
    """
    try:
        return read_rows(file) if file.exists() else []
    except ValueError as error:
        text = str(error).removeprefix(f"data.exclude={str(file)!r}: ")
        raise ValueError(
            f"csv={str(file)!r}: there is a file that verify did not write ({text}); "
            "name another one, or remove it"
        ) from None


def write_findings(
    file: Path,
    findings: list[Finding],
    earlier: list[dict[str, str]] = (),  # type: ignore[assignment]
    unseen: Collection[str] = (),
) -> None:
    """Write the findings; all of the file or nothing.

    Args:
        file: the CSV file.
        findings: its rows, in order.
        earlier: rows of the file before. What a user set in its column "exclude" stays, and so do
            rows of a kind that verify does not know: they are the user's own.
        unseen: files that an interrupted run did not come to: their earlier rows stay as well.
    """
    choices = {_key(row): row["exclude"] for row in earlier}
    rows = []
    for finding in findings:
        row = {
            "path": finding.path,
            "kind": finding.kind,
            "split": finding.split,
            "detail": finding.detail,
        }
        usual = "yes" if KINDS[finding.kind].exclude else "no"
        rows.append({**row, "exclude": choices.get(_key(row), usual)})
    written = {_key(row) for row in rows}
    for row in earlier:
        kept = row.get("kind", "") not in KINDS or row["path"] in unseen
        if kept and _key(row) not in written:
            rows.append({column: row.get(column, "") for column in COLUMNS})
    with (
        replacing(file) as part,
        part.open("w", newline="", encoding="utf-8", errors="surrogateescape") as out,
    ):
        writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _key(row: dict[str, str]) -> tuple[str, str, str]:
    return row["path"], row.get("kind", ""), row.get("split", "")
