"""Write tar shards: ``python datasets/shard.py --dataset ucf101 --root DIR --split 1 --out DIR``.

Each split is a folder of its own: train-000000.tar, ..., test-000000.tar, ..., and index.json,
which is written last. ``--data.class_path videowino.data.VideoShards --data.root DIR`` trains from
it; docs/data.md says more. Does nothing where the same shards are there already. ``--check DIR``
reads a folder of shards again and names what has been damaged since.
"""

from __future__ import annotations

from functools import partial

from videowino.cli import explain, option_names, parameters, run

DATASETS = {"ucf101": "UCF101", "hmdb51": "HMDB51", "folder": "VideoFolder"}
# Options of the data modules that say which clips there are.
_PASSED_ON = ("missing", "exclude")


def main(args: list[str] | None = None) -> None:
    """Runs the command line `args`, that of the process if None."""
    from jsonargparse import ArgumentError, ArgumentParser

    import videowino.data

    parser = ArgumentParser(description=__doc__, exit_on_error=False, allow_abbrev=False)
    parser.add_argument("--dataset", choices=list(DATASETS), help="which data module reads it")
    parser.add_argument("--root", type=str | None, help="the data set's folder")
    parser.add_argument("--split", type=int, default=1, help="number of the split list")
    parser.add_argument("--out", type=str | None, help="folder to write the shards to")
    parser.add_argument("--shard-mb", type=float, default=256, help="megabytes a shard, at most")
    parser.add_argument("--shuffle-seed", type=int, default=0, help="of the training clips' order")
    known = parameters(videowino.data.VideoFolder)
    passed_on = [name for name in _PASSED_ON if name in known]
    for name in passed_on:
        parser.add_argument(f"--{name}", type=str | None, help=f"as data.{name} in training")
    parser.add_argument("--check", type=str | None, help="folder of shards to read again instead")
    try:
        options = parser.parse_args(args)
    except ArgumentError as error:
        raise ValueError(explain(str(error), option_names(parser))) from error
    if options.check is not None:
        check(options.check)
        return
    for name in ("dataset", "root", "out"):
        if options[name] is None:
            raise ValueError(f"--{name} is missing; --help lists the options")
    chosen = {name: options[name] for name in passed_on if options[name] is not None}
    kind = getattr(videowino.data, DATASETS[options.dataset])
    data = kind(root=options.root, split=options.split, **chosen)
    write(data, options.out, options.shard_mb, options.shuffle_seed)


def write(data, out: str, shard_mb: float, shuffle_seed: int) -> None:
    """Write, with a progress bar."""
    from rich.console import Console
    from rich.progress import track

    from videowino.preparing.shards import write_shards

    bar = partial(track, description="Writing", console=Console())
    if write_shards(data, out, shard_mb=shard_mb, shuffle_seed=shuffle_seed, progress=bar):
        print(f"{out}: written")
    else:
        print(f"{out}: already there")


def check(folder: str) -> None:
    """Read all shards again.

    Raises:
        ValueError: some are not as they were written.
    """
    from rich.console import Console
    from rich.progress import track

    from videowino.preparing.shards import check_shards

    wrong = check_shards(folder, partial(track, description="Reading", console=Console()))
    if wrong:
        raise ValueError(f"{folder}: {'; '.join(wrong)}; write or copy these shards again")
    print(f"{folder}: as it was written")


if __name__ == "__main__":
    run(main)
