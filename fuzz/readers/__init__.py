"""What reads files, one a module."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Protocol

from fuzz.readers.checkpoints import Checkpoints
from fuzz.readers.configs import Configs
from fuzz.readers.deployed import DeployedModels
from fuzz.readers.lists import Lists


class Reader(Protocol):
    """Something that reads files of one kind.

    Attributes:
        suffix: of the files.
    """

    suffix: str

    def seeds(self) -> list[bytes]:
        """Files as they should be, to begin with."""
        ...

    def mutate(self, data: bytes, chance: random.Random) -> bytes:
        """A file changed at random, also past what merely compares checksums."""
        ...

    def read(self, path: Path) -> None:
        """Read it.

        Raises:
            ValueError, FileNotFoundError: it is not as it should be; anything else is a finding.
        """
        ...


READERS: dict[str, type[Reader]] = {
    "checkpoints": Checkpoints,
    "configs": Configs,
    "deployed": DeployedModels,
    "lists": Lists,
}
