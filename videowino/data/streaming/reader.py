"""The bytes of clips, read in the order of the shards and handed out in that of training."""

from __future__ import annotations

import io
import zlib
from collections import deque
from collections.abc import Iterable

from videowino.data.streaming.index import Shard, ShardClip, ShardError
from videowino.data.streaming.place import Place, ShardFile

# Two clips of a shard this far apart are read in one request: on most networks the bytes between
# them take less time than another request.
_GAP = 256 << 10


class ClipReader:
    """Reads clips ahead, in the order in which they lie in the shards.

    A process wants its clips in shuffled order. Told which they will be (`expect`), it reads
    forward through the shards, skipping what others want, and holds what it meets before its turn:
    never more than the shuffle buffer. A clip that nobody told it of, or that is not due for long,
    is read where it is.

    Args:
        place: where the shards are.
        shards: all that clips may be in.
    """

    def __init__(self, place: Place, shards: Iterable[Shard]) -> None:
        self._place = place
        self._shards = {shard.name: shard for shard in shards}
        self._ahead: deque[ShardClip] = deque()
        self._expected: dict[str, int] = {}  # and which in the order of reading
        self._far = 0
        self._held: dict[str, bytes] = {}
        self._open: tuple[str, ShardFile] | None = None

    def expect(self, clips: Iterable[ShardClip], far: int) -> None:
        """Say what will be asked for; what was said before is void.

        Args:
            clips: in the order of reading.
            far: how many others may have to be read before the one that is asked for.
        """
        wanted = {str(clip): clip for clip in clips}
        self._held = {name: held for name, held in self._held.items() if name in wanted}
        self._ahead = deque(clip for name, clip in wanted.items() if name not in self._held)
        self._expected = {str(clip): number for number, clip in enumerate(self._ahead)}
        self._far = far

    def read(self, clip: ShardClip) -> bytes:
        """The bytes of a clip's video.

        Raises:
            ShardError: its shard is absent, altered, or cannot be reached.
        """
        name = str(clip)
        if name in self._held:
            return self._held.pop(name)
        if name not in self._expected or self._is_far(name):
            # In the place of one that cannot be decoded, say.
            return self._read(clip, clip.start + clip.size)
        while True:
            ahead = self._ahead.popleft()
            del self._expected[str(ahead)]
            content = self._read(ahead, self._run(ahead))
            if ahead == clip:
                return content
            self._held[str(ahead)] = content

    def _is_far(self, name: str) -> bool:
        return self._expected[name] - self._expected[str(self._ahead[0])] > self._far

    def _run(self, clip: ShardClip) -> int:
        """Where the run of expected clips that begins with `clip` ends."""
        end = clip.start + clip.size
        for following in self._ahead:
            if following.shard != clip.shard or not 0 <= following.start - end <= _GAP:
                break
            end = following.start + following.size
        return end

    def _read(self, clip: ShardClip, ahead: int) -> bytes:
        if self._open is None or self._open[0] != clip.shard:
            self.close()
            self._open = clip.shard, self._place.open(self._shards[clip.shard])
        members = self._open[1].read(clip.start, clip.size, ahead)
        if zlib.crc32(members) != clip.crc:
            raise ShardError(
                f"{self._place.name}/{clip}: altered since it was written, its checksum is not the "
                "index's; copy the shard again, or write the shards again"
            )
        return _video(members, clip)

    def close(self) -> None:
        """Let go of the open shard."""
        if self._open is not None:
            self._open[1].close()
        self._open = None


def _video(members: bytes, clip: ShardClip) -> bytes:
    """The video among a clip's tar members."""
    from webdataset.tariterators import group_by_keys, tar_file_iterator

    files = ({**file, "__url__": clip.shard} for file in tar_file_iterator(io.BytesIO(members)))
    for sample in group_by_keys(files):
        videos = [name for name in sample if not name.startswith("__") and name != "json"]
        if sample["__key__"] == clip.key and len(videos) == 1:
            return sample[videos[0]]
    raise ShardError(f"{clip}: not what the index says of it; write the shards again")
