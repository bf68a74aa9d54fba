"""The formats of member files, and how a file's name shows its format."""

from typing import Literal, get_args

Format = Literal["csv", "tsv", "jsonl", "parquet", "txt"]

_FORMATS: tuple[Format, ...] = get_args(Format)
_COMPRESSION_SUFFIXES = (".gz", ".zst")


def infer_format(path: str) -> Format | None:
    """Return the format shown by a file's extension, or ``None`` if it shows none.

    ``.gz`` or ``.zst`` after the format's own extension is ignored.
    """
    name = path.lower()
    for suffix in _COMPRESSION_SUFFIXES:
        name = name.removesuffix(suffix)
    return next((known for known in _FORMATS if name.endswith(f".{known}")), None)
