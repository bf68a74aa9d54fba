"""A job to reconcile: how many rows, how many of them changed, and in what form."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Arrangement = Literal["one", "segments", "table"]
"""One Segment; many Segments with one file each; one SegmentTable with one file for all."""

Format = Literal["parquet", "csv", "inline"]
Keys = Literal["email", "non-ASCII", "200 characters"]


@dataclass(frozen=True, kw_only=True)
class Job:
    """``rows`` recorded and desired members; ``rate`` percent are removed and as many added."""

    folder: Path
    rows: int
    rate: int = 1
    arrangement: Arrangement = "one"
    format: Format = "parquet"
    keys: Keys = "email"
    segments: int = 200
    skewed: bool = False
    memory_limit: str = ""
    is_first: bool = False
    """Nothing is recorded yet: all desired members are to add."""

    @property
    def changed(self) -> int:
        """How many of the recorded members are no longer desired."""
        return 0 if self.is_first else self.rows * self.rate // 100

    @property
    def to_add(self) -> int:
        """How many members to add."""
        return self.rows if self.is_first else self.changed

    @property
    def parted(self) -> bool:
        """Whether rows have a segment column."""
        return self.arrangement != "one"

    @property
    def extension(self) -> str:
        """The file extension. Inline members are generated as CSV too."""
        return "parquet" if self.format == "parquet" else "csv"

    @property
    def workspace(self) -> Path:
        """The workspace folder."""
        return self.folder / "workspace"

    @property
    def recorded(self) -> Path:
        """The file of all recorded rows: ``identity`` and, if parted, ``segment``."""
        return self.workspace / "data" / f"recorded.{self.extension}"

    @property
    def desired(self) -> Path:
        """The file of all desired rows, with the same columns."""
        return self.workspace / "data" / f"desired.{self.extension}"

    def part(self, whole: Path, segment: str) -> Path:
        """Return the file with the rows of one segment."""
        return whole.with_suffix("") / f"segment={segment}" / f"data_0.{self.extension}"

    def names(self) -> list[str]:
        """Return the segment names."""
        if not self.parted:
            return ["all"]
        return [f"s{number:03}" for number in range(self.segments)]
