"""The body of `datasets/verify.py`: options, progress, what is printed, exit code."""

from __future__ import annotations

import time
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from videowino.preparing.verify.cache import ScanCache
from videowino.preparing.verify.findings import KINDS, Finding
from videowino.preparing.verify.fix import ORIGINALS, Fix, fix_files
from videowino.preparing.verify.layout import read_layout
from videowino.preparing.verify.options import Options, parse
from videowino.preparing.verify.pool import Work
from videowino.preparing.verify.scan import Scan, scan_file
from videowino.preparing.verify.table import findings_table, notes_line, readable, summary
from videowino.preparing.verify.table_file import read_earlier, write_findings
from videowino.preparing.verify.verify import Verified, forget, scan_set

FOUND = 1  # exit code
_WIDTH = 132  # of tables in pipes and files


def main(args: list[str] | None, description: str | None) -> None:
    """Run the command line `args`, that of the process if None.

    Raises:
        SystemExit: with code 1, something was found.
        ValueError, OSError: bad input.
        KeyboardInterrupt: interrupted; what was found until then is written.
    """
    options = parse(args, description)
    findings = verify(options)
    if any(options.strict or not KINDS[finding.kind].warning for finding in findings):
        raise SystemExit(FOUND)


def verify(options: Options, work: Work = scan_file) -> list[Finding]:
    """Verify a set, print and write what is found, and return it.

    Args:
        options: what to do.
        work: what scans a file.
    """
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_WIDTH)
    start = time.monotonic()
    verified = Verified(read_layout(Path(options.root), options.dataset), options.min_frames)
    table_file = options.table_file
    earlier = read_earlier(table_file)
    cache_file = table_file.with_name(f".{table_file.name}.cache")
    try:
        cache = ScanCache(cache_file, options.fresh)
    except OSError as error:  # now, not after hours of decoding
        raise ValueError(
            f"csv={str(table_file)!r}: cannot be written ({error.strerror}); name another file"
        ) from error
    with cache:
        try:
            _scan(verified, cache, options, console, work, "Verifying")
            if options.fix:
                _fix(verified, cache, options, console, work)
        except KeyboardInterrupt:
            _report(verified, earlier, options, console, time.monotonic() - start)
            console.print(
                f"Interrupted: {len(verified.unseen):,} of {len(verified.layout.files):,} files "
                "are not verified; the same command goes on from here."
            )
            raise
    return _report(verified, earlier, options, console, time.monotonic() - start)


def _scan(
    verified: Verified,
    cache: ScanCache,
    options: Options,
    console: Console,
    work: Work,
    title: str,
) -> None:
    found = 0
    with _progress(console) as progress:
        task = progress.add_task(title, total=len(verified.unseen), found="")

        def seen(path: str, scan: Scan) -> None:
            nonlocal found
            found += bool(verified.wrong(scan))
            progress.update(task, advance=1, found=f"{found:,} not sound" if found else "")

        scan_set(verified, cache, options.processes, options.timeout, seen, work)


def _fix(
    verified: Verified, cache: ScanCache, options: Options, console: Console, work: Work
) -> None:
    """Mend what can be, say what became of each file, and scan the mended ones."""
    root = verified.layout.root
    broken = [
        (path, scan)
        for path, scan in sorted(verified.scans.items())
        if scan.kind  # short ones are as long as they are
    ]
    mended: list[Fix] = []
    kept: list[Fix] = []
    try:
        with _progress(console) as progress:
            task = progress.add_task("Mending", total=len(broken), found="")
            for fix in fix_files(root, broken, options.processes, options.timeout):
                (mended if fix.kept else kept).append(fix)
                progress.update(task, advance=1)
    finally:
        for title, fixes in (("not mended", kept), ("mended", mended)):
            shown = fixes if options.show == 0 else fixes[: options.show]
            for fix in shown:
                console.print(Text(readable(f"{title}: {fix.path}: {fix.detail}")))
            if len(shown) < len(fixes):
                console.print(f"{title}: {len(fixes) - len(shown):,} more")
        if mended:
            console.print(Text(f"{len(mended):,} originals are kept in {root / ORIGINALS}"))
        forget(verified, [fix.path for fix in mended])
    if mended:
        _scan(verified, cache, options, console, work, "Verifying again")


def _progress(console: Console) -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("[red]{task.fields[found]}"),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def _report(
    verified: Verified,
    earlier: list[dict[str, str]],
    options: Options,
    console: Console,
    seconds: float,
) -> list[Finding]:
    findings = verified.findings()
    table_file = options.table_file
    write_findings(table_file, findings, earlier, set(verified.unseen))
    if findings:
        console.print(findings_table(findings, options.show))
    notes = notes_line(verified.scans)
    if notes:
        console.print(Text(f"Good, but worth knowing: {notes}."))
    files = len(verified.scans)
    known = f", {verified.cached:,} of them known from before" if verified.cached else ""
    console.print(
        Text(
            f"{verified.layout.dataset}: {files:,} files in {seconds:.1f} s "
            f"({files / max(seconds, 1e-9):,.0f} files/s{known}): {summary(findings)}."
        )
    )
    text = f"Written to {table_file}"
    if any(KINDS[finding.kind].exclude for finding in findings):
        text += f"; --data.exclude {table_file} leaves out what its column exclude says yes to"
    console.print(Text(readable(f"{text}.")), soft_wrap=True)
    return findings
