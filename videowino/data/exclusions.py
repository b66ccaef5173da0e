"""Videos that a list leaves out, as `datasets/verify.py` writes one.

The list is a CSV file with a heading; of its columns three count. `path` is relative to the set's
root, so that a set can be moved; `exclude` says "yes" or "no" and is there to be edited; `split`,
where there is one, holds the number of the split that a line is for, nothing for all of them.
"""

from __future__ import annotations

import csv
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

from pytorch_lightning.utilities.rank_zero import rank_zero_warn

from videowino.data.splits import Video

COLUMNS = ("path", "kind", "exclude", "split", "detail")  # as verify writes them

_YES, _NO = ("yes", "y", "true", "1"), ("no", "n", "false", "0", "")


def read_rows(file: Path) -> list[dict[str, str]]:
    """The lines of an exclusion list, by column; "exclude" is "yes" or "no".

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is no such list, or a line says neither yes nor no.
    """
    name = f"data.exclude={str(file)!r}"
    if not file.is_file():
        raise FileNotFoundError(
            f"{name}: no such file; python datasets/verify.py --root DIR writes one"
        )
    try:
        # Names may hold line ends, and bytes that are no text.
        with file.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as lines:
            # Spreadsheets save with what their country puts between cells.
            mark = max(",;\t", key=lines.readline().count)
            lines.seek(0)
            reader = csv.DictReader(lines, delimiter=mark, restval="", strict=True)
            rows = [dict(row) for row in reader]
            columns = list(reader.fieldnames or ())
    except csv.Error as error:
        raise ValueError(f"{name}: not a CSV file ({error})") from None
    missing = [column for column in ("path", "exclude") if column not in columns]
    if missing:
        raise ValueError(
            f"{name}: no column {missing[0]!r} in its first line; expected "
            f"{','.join(COLUMNS)}, of which path and exclude (yes or no) are needed"
        )
    for number, row in enumerate(rows, 1):
        if None in row:
            raise ValueError(f"{name}: row {number} has more cells than the first line")
        said = row["exclude"].strip().lower()
        if said not in (*_YES, *_NO):
            raise ValueError(
                f"{name}: row {number} ({row['path']}) has exclude={row['exclude']!r}; "
                "expected yes or no"
            )
        row["exclude"] = "yes" if said in _YES else "no"
    return rows


def leave_out(
    listed: tuple[Sequence[Video], Sequence[Video]], file: str | None, root: Path, split: int
) -> tuple[list[Video], list[Video]]:
    """The training and test videos that an exclusion list does not exclude.

    Says once how many it leaves out; warns where it names nothing of this set.

    Args:
        listed: training and test videos as listed.
        file: the exclusion list; None excludes nothing.
        root: the set's folder.
        split: number of the split.

    Raises:
        FileNotFoundError: no such list.
        ValueError: it cannot be read, or leaves nothing to train or to test on.
    """
    train, test = (list(videos) for videos in listed)
    if file is None:
        return train, test
    rows = [row for row in read_rows(Path(file)) if row["exclude"] == "yes" and row["path"]]
    places = {root / row["path"] for row in rows}
    known = {video.path for video in (*train, *test)}
    if places and not any(place in known or place.exists() for place in places):
        warnings.warn(
            f"data.exclude={file!r}: none of the {len(places)} videos that it excludes is in "
            f"{root}; it is the list of another set, or of another folder of this one",
            stacklevel=2,
        )
        return train, test
    out = {root / row["path"] for row in rows if _is_for(row.get("split", ""), split)}
    kept = (
        [video for video in train if video.path not in out],
        [video for video in test if video.path not in out],
    )
    for part, before, after in (("training", train, kept[0]), ("test", test, kept[1])):
        if before and not after:
            raise ValueError(
                f"data.exclude={file!r}: it excludes all {len(before)} videos of the {part} list"
            )
    if len(kept[0]) + len(kept[1]) < len(train) + len(test):
        counts = f"{_count(train, kept[0])} training and {_count(test, kept[1])} test videos"
        rank_zero_warn(
            f"data.exclude={file!r}: leaves out {counts} of split {split}", category=UserWarning
        )
    return kept


def _is_for(said: str, split: int) -> bool:
    return said.strip() in ("", str(split))


def _count(before: Iterable[Video], after: Iterable[Video]) -> str:
    total = len(list(before))
    return f"{total - len(list(after))} of {total}"
