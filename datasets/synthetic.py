"""Render the synthetic motion set: ``python datasets/synthetic.py --root datasets/synthetic``.

Does nothing where the set is already there. The options are those of
`videowino.data.SyntheticSpec`; datasets/synthetic.md describes the set.
"""

from __future__ import annotations

from functools import partial

from videowino.cli import explain, option_names, run


def main(args: list[str] | None = None) -> None:
    """Runs the command line `args`, that of the process if None."""
    from jsonargparse import ArgumentError, ArgumentParser
    from rich.console import Console
    from rich.progress import track

    from videowino.data.synthetic import is_rendered, render_set
    from videowino.data.synthetic_clip import SyntheticSpec

    parser = ArgumentParser(description=__doc__, exit_on_error=False, allow_abbrev=False)
    parser.add_argument("--root", type=str, default="datasets/synthetic", help="where to put it")
    parser.add_class_arguments(SyntheticSpec, as_group=False)
    try:
        options = parser.parse_args(args).as_dict()
    except ArgumentError as error:
        raise ValueError(explain(str(error), option_names(parser))) from error
    root = options.pop("root")
    spec = SyntheticSpec(**options)
    if is_rendered(root, spec):
        print(f"{root}: already rendered")
        return
    render_set(root, spec, progress=partial(track, description="Rendering", console=Console()))
    print(f"{root}: rendered")


if __name__ == "__main__":
    run(main)
