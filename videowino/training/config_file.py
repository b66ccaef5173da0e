"""Looks through a configuration file for what YAML itself lets pass, or says badly."""

from __future__ import annotations

from pathlib import Path

import yaml

from videowino.cli import require


def check_config_file(path: Path) -> None:
    """Refuse what is no configuration.

    Args:
        path: a file that may be missing, which the parser tells of.

    Raises:
        ValueError: it is no YAML, holds no keys and values, has a key twice, of which YAML would
            take the last, or one that only the data can tell.
    """
    if not path.is_file():
        return
    try:
        text = path.read_text(encoding="utf-8")
        content = yaml.compose(text, Loader=yaml.SafeLoader)
        values = yaml.safe_load(text)
    except UnicodeDecodeError as error:
        raise ValueError(f"config={path}: is no text in UTF-8 ({error.reason})") from error
    except yaml.YAMLError as error:
        raise ValueError(f"config={path}: {_place(error)}") from error
    except ValueError as error:  # as of a date that there is not
        raise ValueError(f"config={path}: {error}") from error
    require(content is not None, f"config={path}: is empty; expected keys and values")
    found = isinstance(values, dict)
    require(found, f"config={path}: expected keys and values, as `trainer: ...`")
    _check_keys(path, content, "")
    model = values.get("model")
    require(
        not isinstance(model, dict) or model.get("num_classes") is None,
        f"config={path}: model.num_classes is taken from the data; leave it out",
    )


def _place(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    return problem if mark is None else f"line {mark.line + 1}: {problem}"


def _check_keys(path: Path, node: yaml.Node, place: str) -> None:
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _check_keys(path, item, place)
    if not isinstance(node, yaml.MappingNode):
        return
    lines: dict[str, int] = {}
    for key, value in node.value:
        name, line = str(key.value), key.start_mark.line + 1
        require(
            key.tag == "tag:yaml.org,2002:str",
            f"config={path}: line {line}: {name} is no name of an option",
        )
        full = f"{place}.{name}".removeprefix(".")
        require(
            name not in lines,
            f"config={path}: {full} is there twice, in lines {lines.get(name)} and {line}; leave "
            "out one",
        )
        lines[name] = line
        _check_keys(path, value, full)
