"""What is to be reconciled: how many rows, how many of them changed, in what shape."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Arrangement = Literal["one", "segments", "table"]
"""One Segment; many Segments with a file each; one SegmentTable with one file for all."""

Format = Literal["parquet", "csv", "inline"]
Keys = Literal["email", "non-ASCII", "200 characters"]


@dataclass(frozen=True, kw_only=True)
class Job:
    """``rows`` recorded and as many desired; ``rate`` per cent go and as many others come."""

    folder: Path
    rows: int
    rate: int = 1
    arrangement: Arrangement = "one"
    format: Format = "parquet"
    keys: Keys = "email"
    segments: int = 200
    skewed: bool = False
    memory_limit: str = ""

    @property
    def changed(self) -> int:
        """How many members are to add, and how many to remove."""
        return self.rows * self.rate // 100

    @property
    def parted(self) -> bool:
        """Whether a row says which segment it belongs to."""
        return self.arrangement != "one"

    @property
    def extension(self) -> str:
        """The ending of the files; who writes members into manifests has them as CSV too."""
        return "parquet" if self.format == "parquet" else "csv"

    @property
    def workspace(self) -> Path:
        """Where segctl works."""
        return self.folder / "workspace"

    @property
    def recorded(self) -> Path:
        """All rows that are recorded, in one file: ``identity`` and, if parted, ``segment``."""
        return self.workspace / "data" / f"recorded.{self.extension}"

    @property
    def desired(self) -> Path:
        """All rows that are wanted, as above."""
        return self.workspace / "data" / f"desired.{self.extension}"

    def part(self, whole: Path, segment: str) -> Path:
        """Give the file with the rows of one segment alone."""
        return whole.with_suffix("") / f"segment={segment}" / f"data_0.{self.extension}"

    def names(self) -> list[str]:
        """Name the segments."""
        if not self.parted:
            return ["all"]
        return [f"s{number:03}" for number in range(self.segments)]
