"""The formats and encodings of member files, and how a file's name shows its format."""

from typing import Literal, get_args

Format = Literal["csv", "tsv", "jsonl", "parquet", "txt"]

Encoding = Literal[
    "utf-8",
    "utf-16",
    "utf-16-le",
    "utf-16-be",
    "latin-1",
    "iso-8859-15",
    "windows-1250",
    "windows-1251",
    "windows-1252",
    "shift-jis",
    "gb18030",
]
"""The encodings of text files, by their names in Python."""

_FORMATS: tuple[Format, ...] = get_args(Format)
COMPRESSION_SUFFIXES = (".gz", ".zst")

SAVE_AS_CSV = "Spreadsheets are not read. Save the sheet as CSV UTF-8, and name that file."


def infer_format(path: str) -> Format | None:
    """Return the format shown by a file's extension, or ``None`` if it shows none.

    ``.gz`` or ``.zst`` after the format's own extension is ignored.
    """
    name = path.lower()
    for suffix in COMPRESSION_SUFFIXES:
        name = name.removesuffix(suffix)
    return next((known for known in _FORMATS if name.endswith(f".{known}")), None)


def is_spreadsheet(path: str) -> bool:
    """Return whether a file's name is that of a workbook, which no source reads."""
    return path.lower().endswith((".xlsx", ".xlsm", ".xlsb", ".xls", ".ods", ".numbers"))
