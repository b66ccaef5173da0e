"""A set verified: every file scanned, then files, lists and copies judged together."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from videowino.preparing.verify.cache import ScanCache
from videowino.preparing.verify.duplicates import check_duplicates
from videowino.preparing.verify.findings import KINDS, Finding, in_order
from videowino.preparing.verify.layout import Layout
from videowino.preparing.verify.lists import check_lists
from videowino.preparing.verify.pool import Failure, Work, each
from videowino.preparing.verify.scan import Scan, scan_file


@dataclass
class Verified:
    """What is known of a set; `scans` fills while `scan_set` is at work.

    Attributes:
        layout: the set.
        min_frames: frames that a video needs.
        scans: of its files, relative to the root.
        cached: how many of them were known from an earlier run.
    """

    layout: Layout
    min_frames: int = 16
    scans: dict[str, Scan] = field(default_factory=dict)
    cached: int = 0

    @property
    def unseen(self) -> list[str]:
        """Files that are not scanned yet."""
        return [path for path in self.layout.files if path not in self.scans]

    def findings(self) -> list[Finding]:
        """All that is not as it should be, in order."""
        found = check_lists(self.layout) + check_duplicates(self.layout, self.scans)
        for path, scan in self.scans.items():
            found += [Finding(path, kind, detail) for kind, detail in self.wrong(scan)]
        return in_order(found)

    def wrong(self, scan: Scan) -> list[tuple[str, str]]:
        """What is wrong with a file by itself: kinds and details."""
        found = [(scan.kind, scan.detail)] if scan.kind else []
        plays = not scan.kind or not KINDS[scan.kind].exclude
        if plays and scan.frames < self.min_frames:
            found.append(("short", f"{_frames(scan.frames)}, fewer than {self.min_frames}"))
        return found


def scan_set(
    verified: Verified,
    cache: ScanCache,
    jobs: int,
    timeout: float,
    seen: Callable[[str, Scan], None] = lambda path, scan: None,
    work: Work = scan_file,
) -> None:
    """Scan the files that are not scanned yet.

    Args:
        verified: gets the scans as they come; an interruption leaves what is there.
        cache: earlier scans, and where new ones go.
        jobs: processes.
        timeout: seconds without progress after which a file counts as hanging.
        seen: called after each file.
        work: what scans a file.
    """
    root, left = verified.layout.root, []
    for path in verified.unseen:
        scan = cache.get(path, root / path, timeout)
        if scan is None:
            left.append(path)
        else:
            verified.scans[path] = scan
            verified.cached += 1
            seen(path, scan)
    places = {str(root / path): path for path in left}
    for place, result in each(work, places, jobs, timeout):
        scan = Scan(result.kind, result.detail) if isinstance(result, Failure) else result
        path = places[place]
        cache.put(path, root / path, scan, timeout)
        verified.scans[path] = scan
        seen(path, scan)


def forget(verified: Verified, paths: Iterable[str]) -> None:
    """Have files scanned again, as they have changed."""
    for path in paths:
        del verified.scans[path]


def _frames(count: int) -> str:
    return "1 frame" if count == 1 else f"{count} frames"
