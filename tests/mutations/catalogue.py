"""The mutations, read from the files in table/.

Each replaces one short piece of a file, which must be there exactly once. It names the test that fails with it, or the
seed of the storm that does.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

CHECKOUT: Final = Path(__file__).resolve().parents[2]
TABLE: Final = Path(__file__).with_name("table")


class StaleMutation(Exception):
    """The mutation does not fit the code any more. The message says what to mend in the table."""


@dataclass(frozen=True)
class Mutation:
    name: str
    #: From the root of the checkout.
    file: str
    search: str
    replace: str
    #: Name of the file in table/, without its ending.
    table: str = ""
    #: Node id of a test, of a class of tests, or of a file.
    caught_by: str = ""
    #: Seed of a storm, if no test is enough.
    storm_seed: int | None = None
    storm_seconds: int = 60

    def apply(self, root: Path = CHECKOUT) -> str:
        """Return the file of the checkout at `root` with the mutation. Raises StaleMutation."""
        text = (root / self.file).read_text(encoding="utf-8")
        if (found := text.count(self.search)) != 1:
            raise StaleMutation(f"{self.name}: `search` is in {self.file} {found} times, and must be there once.")
        mutated = text.replace(self.search, self.replace)
        try:
            compile(mutated, self.file, "exec")
        except SyntaxError as error:
            raise StaleMutation(f"{self.name}: {self.file} cannot be read with it: {error}.") from error
        return mutated


def load() -> list[Mutation]:
    """Return all mutations, file by file. Raises TypeError for a name that a mutation does not have."""
    return [
        Mutation(**one, table=file.stem)
        for file in sorted(TABLE.glob("*.toml"))
        for one in tomllib.loads(file.read_text(encoding="utf-8"))["mutation"]
    ]
