"""A study's cells: what is trained, from a configuration that names whole grids of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, Literal, get_args

import yaml

from videowino.cli import require

Method = Literal["dense", "filters", "spatial", "vanilla", "low_rank", "factored"]
IN_PYTORCH = "in PyTorch"  # label of the rival without our engine
_TILE = (2, 4, 4)
_FILES = ("dense", "tune", "columns", "filters")


@dataclass(frozen=True)
class Cell:
    """One way to make a trained network faster.

    Attributes:
        method: dense trains on and changes nothing; filters is the rival, whole filters pruned by
            their norm; the others are parameterizations of Winograd layers.
        sparsity: fraction of columns, or of filters, pruned.
        speedup: of the deployed network, instead of a sparsity.
        rank: of the factors: a number, or a share of energy.
        tile: outputs per tile.
        overlay: configuration that brings the pruning, instead of the study's own.
        options: of `train.py`, by name.
        label: what is special, where overlay or options are.
    """

    method: Method
    sparsity: float = 0.0
    speedup: float | None = None
    rank: int | float | None = None
    tile: tuple[int, int, int] | None = None
    overlay: str | None = None
    options: tuple[tuple[str, str], ...] = ()
    label: str = ""

    @property
    def name(self) -> str:
        """A folder's name."""
        parts: list[str] = [self.method]
        if self.rank is not None:
            parts.append(f"r{self.rank:g}")
        if self.tile is not None and self.tile != _TILE:
            parts.append("x".join(map(str, self.tile)))
        if self.speedup is not None:
            parts.append(f"{self.speedup:g}x")
        elif self.method != "dense":
            parts.append(f"{100 * self.sparsity:g}")
        if self.label:
            parts.append(self.label.replace(" ", "_"))
        return "-".join(parts)

    @property
    def title(self) -> str:
        """For a table."""
        text = self.method + (f" {self.rank:g}" if self.rank is not None else "")
        if self.tile is not None and self.tile != _TILE:
            text += f", F({'x'.join(map(str, self.tile))})"
        return text + (f", {self.label}" if self.label else "")


@dataclass(frozen=True)
class Study:
    """A data set, a network, and the cells to train.

    Attributes:
        name: as its file.
        dense: configuration of the dense network.
        tune: overlay for what is made of it.
        columns: overlay that prunes columns, after that.
        filters: overlay that prunes filters.
        splits: numbers of the split lists.
        seeds: each is a dense network of its own, and all that is made of it.
        cells: what is made.
        part: what accuracy is measured on: the test list, or videos held out of the training list,
            as many as `data.val_fraction` says.
        options: of `train.py`, by name, for every training.
        data: options of the data module for evaluation, by name.
        folder: where the configuration lies, and cells' overlays.
        root: folder of the data set; None as the configuration has it.
    """

    name: str
    dense: Path
    tune: Path
    columns: Path
    filters: Path
    splits: tuple[int, ...]
    seeds: tuple[int, ...]
    cells: tuple[Cell, ...]
    folder: Path
    part: Literal["test", "val"] = "test"
    options: tuple[tuple[str, str], ...] = ()
    data: dict[str, Any] = field(default_factory=dict)
    root: Path | None = None

    def configs(self, cell: Cell) -> list[Path]:
        """What a cell is trained by, one over the other."""
        if cell.method == "dense":
            return [self.dense, self.tune]
        pruning = self.filters if cell.method == "filters" else self.columns
        if cell.overlay is not None:
            pruning = self.folder / cell.overlay
        return [self.dense, self.tune, pruning]

    @property
    def places(self) -> list[tuple[int, int]]:
        """(split, seed), each with all cells."""
        return list(product(self.splits, self.seeds))


def read_study(path: Path, root: Path | None = None) -> Study:
    """Reads a configuration.

    Args:
        path: a YAML file, see `configs/study`.
        root: folder of the data set, instead of the configuration's.

    Raises:
        FileNotFoundError: it, or a configuration that it names, is not there.
        ValueError: a key or a value that means nothing, two cells of one name, or no plain dense
            one, with which the others are compared.
    """
    if not path.is_file():
        raise FileNotFoundError(f"config={path}: no such file")
    content = yaml.safe_load(path.read_text())
    require(isinstance(content, Mapping), f"{path}: expected keys and values")
    wanted = (*_FILES, "splits", "seeds", "cells")
    for key in wanted:
        require(key in content, f"{path}: {key} is missing")
    for key in content:
        require(key in (*wanted, "part", "options", "data"), f"{path}: {key} is unknown")
    for key in ("splits", "seeds"):
        numbers = content[key]
        good = isinstance(numbers, list) and all(isinstance(n, int) for n in numbers) and numbers
        require(bool(good), f"{path}: {key}={numbers}: a list of whole numbers, as [1, 2]")
    part = content.get("part", "test")
    require(part in ("test", "val"), f"{path}: part={part}: test or val")
    files = {key: path.parent / content[key] for key in _FILES}
    for key, file in files.items():
        if not file.is_file():
            raise FileNotFoundError(f"{path}: {key}={content[key]}: no such file")
    cells = _cells(content["cells"], path)
    for overlay in (cell.overlay for cell in cells if cell.overlay):
        if not (path.parent / overlay).is_file():
            raise FileNotFoundError(f"{path}: overlay={overlay}: no such file")
    names = [cell.name for cell in cells]
    twice = sorted({name for name in names if names.count(name) > 1})
    require(not twice, f"{path}: two cells are {twice[0] if twice else ''}; give one a label")
    require(
        "dense" in names,
        f"{path}: cells have no plain 'method: dense', which all others are compared with",
    )
    return Study(
        name=path.stem,
        **files,
        splits=tuple(content["splits"]),
        seeds=tuple(content["seeds"]),
        cells=tuple(cells),
        folder=path.parent,
        part=part,
        options=tuple((name, str(value)) for name, value in (content.get("options") or {}).items()),
        data=dict(content.get("data") or {}),
        root=root,
    )


def _cells(given: Any, path: Path) -> list[Cell]:
    """Of a list of entries, or those of the study whose file is named."""
    if isinstance(given, str):
        other = path.parent / given
        if not other.is_file():
            raise FileNotFoundError(f"{path}: cells={given}: no such file")
        return list(read_study(other).cells)
    return [cell for entry in given for cell in expand(entry, path)]


def expand(entry: Mapping[str, Any], path: Path) -> list[Cell]:
    """The cells of one entry: lists stand for each of their values, all combined.

    An option with a list says its value in the label.

    Raises:
        ValueError: an unknown key or method.
    """
    known = [*Cell.__dataclass_fields__]
    for key in entry:
        require(key in known, f"{path}: cells have no {key!r}; they have {', '.join(known)}")
    lists = {
        key: _values(key, value) for key, value in entry.items() if key not in ("options", "label")
    }
    cells = [
        Cell(**dict(zip(lists, values)), options=options, label=label)
        for values in product(*lists.values())
        for options, label in _options(entry)
    ]
    for cell in cells:
        methods = get_args(Method)
        require(
            cell.method in methods, f"{path}: method={cell.method}: one of {', '.join(methods)}"
        )
        require(
            cell.rank is None or cell.method in ("low_rank", "factored"),
            f"{path}: {cell.method} has no rank",
        )
        for name, meant, is_good in (
            ("sparsity", "from 0 to below 1", lambda x: 0 <= x < 1),
            ("speedup", "above 0", lambda x: x > 0),
            ("rank", "a whole number, or a share of energy below 1", _is_rank),
        ):
            value = getattr(cell, name)
            good = value is None or (isinstance(value, int | float) and is_good(value))
            require(good, f"{path}: {name}={value}: {meant}")
    return cells


def _is_rank(value: float) -> bool:
    return 0 < value < 1 or (isinstance(value, int) and value >= 1)


def _options(entry: Mapping[str, Any]) -> list[tuple[tuple[tuple[str, str], ...], str]]:
    """Each combination of an entry's options, and its label."""
    options = dict(sorted((entry.get("options") or {}).items()))
    varied = [name for name, value in options.items() if isinstance(value, list)]
    found = []
    for values in product(*(_values(name, value) for name, value in options.items())):
        chosen = {name: str(value) for name, value in zip(options, values)}
        said = [f"{name.rpartition('.')[2]} {chosen[name]}" for name in varied]
        label = ", ".join(filter(None, [entry.get("label", ""), *said]))
        found.append((tuple(chosen.items()), label))
    return found


def _values(key: str, value: Any) -> Sequence[Any]:
    if key == "tile":
        tiles = value if value and isinstance(value[0], list) else [value]
        return [tuple(tile) for tile in tiles]
    return value if isinstance(value, list) else [value]


def plain(cell: Cell) -> dict[str, Any]:
    """For a JSON file."""
    return asdict(cell) | {"name": cell.name, "title": cell.title}
