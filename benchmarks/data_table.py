"""Tables and the picture of `benchmarks.data`, from what its JSON holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import geometric_mean
from typing import Any

from rich.table import Table

from benchmarks.data_rivals import STRAIGHTFORWARD

_OURS = "videowino"
_Rows = tuple[str, list[str], list[list[str]]]


def tables(content: Mapping[str, Any]) -> list[Table]:
    """For a terminal."""
    shown = []
    for title, head, rows in _every(content):
        table = Table(*head, title=title, title_justify="left")
        for row in rows:
            table.add_row(*row)
        shown.append(table)
    return shown


def markdown(content: Mapping[str, Any]) -> str:
    """For a document: the tables, and what they were measured on."""
    parts = [_in_short(content), _machine(content)]
    for title, head, rows in _every(content):
        lines = ["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
        lines += ["| " + " | ".join(row) + " |" for row in rows]
        parts.append(f"{title}:\n\n" + "\n".join(lines))
    return "\n\n".join(parts)


def _in_short(content: Mapping[str, Any]) -> str:
    """How much faster than the straightforward way, in a sentence."""
    most = max(row["workers"] for row in content["load"])
    ratios = {
        f"{row['source']}, {row['recipe']}": row["ratio"]
        for row in content["load"]
        if row["workers"] == most
    }
    low, high = min(ratios, key=ratios.__getitem__), max(ratios, key=ratios.__getitem__)
    mean = geometric_mean(ratios.values())
    return (
        f"With {most} workers videowino loads **{mean:.2f}x** as many clips a second as the "
        f"fastest straightforward way (geometric mean), from {ratios[low]:.2f}x ({low}) to "
        f"{ratios[high]:.2f}x ({high})."
    )


def draw(content: Mapping[str, Any], path: Path) -> None:
    """Clips a second: bars a source at the most workers, lines against workers."""
    from matplotlib.figure import Figure  # not pyplot: no window is wanted

    load = content["load"]
    recipes = list(dict.fromkeys(row["recipe"] for row in load))
    most = max(row["workers"] for row in load)
    figure = Figure(figsize=(5.6 * (len(recipes) + 1), 4.4), layout="constrained")
    axes = figure.subplots(1, len(recipes) + 1, sharey=True, squeeze=False)[0]
    for recipe, axis in zip(recipes, axes):
        rows = [r for r in load if r["recipe"] == recipe and r["workers"] == most]
        names = [_OURS, *STRAIGHTFORWARD]
        width = 0.85 / len(names)
        for place, name in enumerate(names):
            spots = [index + width * place for index in range(len(rows))]
            bars = axis.bar(spots, [row["clips"][name] for row in rows], width, label=name)
            axis.bar_label(bars, fmt="%.0f", fontsize=6)
        axis.set_xticks(
            [index + 0.425 - width / 2 for index in range(len(rows))],
            [row["source"].replace("made ", "") for row in rows],
            rotation=30,
            ha="right",
        )
        axis.set_title(f"recipe {recipe}, {most} workers")
    axes[0].set_yscale("log")  # of all: they share it
    axes[0].set_ylim(1, 3 * max(max(row["clips"].values()) for row in load))
    axes[0].set_ylabel("clips a second")
    axes[0].legend(fontsize="small")
    last = axes[-1]
    for source in dict.fromkeys(row["source"] for row in load):
        rows = [r for r in load if r["source"] == source and r["recipe"] == recipes[0]]
        last.plot(
            [row["workers"] for row in rows],
            [row["clips"][_OURS] for row in rows],
            marker="o",
            label=source.replace("made ", ""),
        )
    last.set_xticks(sorted({row["workers"] for row in load}))
    last.set_xlabel("workers")
    last.set_title(f"{_OURS}, recipe {recipes[0]}")
    last.legend(fontsize="small")
    figure.savefig(path, dpi=120)


def _every(content: Mapping[str, Any]) -> list[_Rows]:
    made = [_load(content), _decoders(content), _decode(content), _wait(content)]
    return [rows for rows in made if rows[2]]


def _load(content: Mapping[str, Any]) -> _Rows:
    head = ["source", "recipe", "workers", _OURS, *STRAIGHTFORWARD, "over the fastest of them"]
    rows = [
        [
            _named(content, row["source"]),
            row["recipe"],
            str(row["workers"]),
            *(f"{row['clips'][name]:.0f}" for name in (_OURS, *STRAIGHTFORWARD)),
            f"**{row['ratio']:.2f}x**",
        ]
        for row in content["load"]
    ]
    return "Clips a second, files to batches of 8", head, rows


def _decoders(content: Mapping[str, Any]) -> _Rows:
    load = content["load"]
    most = max((row["workers"] for row in load), default=0)
    rows = [row for row in load if row["workers"] == most]
    names = _names(name for row in rows for name in row["clips"] if name not in STRAIGHTFORWARD)
    head = ["source", "recipe", *(_decoder(name) for name in names)]
    return (
        f"The same by decoder, {most} workers",
        head,
        [
            [_named(content, row["source"]), row["recipe"], *_cells(row["clips"], names, ".0f")]
            for row in rows
        ],
    )


def _decode(content: Mapping[str, Any]) -> _Rows:
    names = _names(name for row in content["decode"] for name in row["ms"])
    return (
        "Milliseconds to open a file and decode 16 frames, one thread",
        ["source", *names],
        [
            [_named(content, row["source"]), *_cells(row["ms"], names, ".1f")]
            for row in content["decode"]
        ],
    )


def _wait(content: Mapping[str, Any]) -> _Rows:
    head = ["network", "batches by", "workers", "step, ms", "wait, ms", "share of time waiting"]
    rows = [
        [
            row["network"],
            row["loader"],
            str(row["workers"]),
            f"{row['step_ms']:.0f}",
            f"{row['wait_ms']:.1f}",
            f"{row['share']:.1%}",
        ]
        for row in content["wait"]
    ]
    return "A training step and its wait for the next batch", head, rows


def _machine(content: Mapping[str, Any]) -> str:
    found = content["environment"]
    packages = {"torch": found["versions"]["torch"], **found["packages"]}
    versions = ", ".join(f"{name} {version}" for name, version in packages.items())
    files = ", ".join(f"{s['files']} of {name}" for name, s in content["sources"].items())
    return (
        f"{found['processor']}, {found['cores']} cores, Python {found['python']}; {versions}. "
        f"Medians of turns in one process; files: {files}."
    )


def _named(content: Mapping[str, Any], source: str) -> str:
    height, width = content["sources"][source]["size"]
    return source if source.startswith("made") else f"{source} {width}x{height}"


def _decoder(name: str) -> str:
    return "auto" if name == _OURS else name.removeprefix(f"{_OURS}, ")


def _cells(values: Mapping[str, float], names: Sequence[str], form: str) -> list[str]:
    return [f"{values[name]:{form}}" if name in values else "-" for name in names]


def _names(names: Any) -> list[str]:
    return list(dict.fromkeys(names))
