"""Find the names in manifests by their layout, without parsing: a shell that completes cannot wait.

What is written in an unusual layout is not found. Nothing but completion may use this.
"""

import re
from collections.abc import Iterator

_DOCUMENT_END = re.compile(r"^---", re.MULTILINE)
_API_VERSION = re.compile(r"\bapiVersion[\"']?\s*:\s*[\"']?segctl/")
_KIND = re.compile(r"\bkind[\"']?\s*:\s*[\"']?(SegmentTable|Segment)\b")
_VALUE = r"[\"']?([A-Za-z0-9][\w.-]*)"
_FLOW_NAME = re.compile(rf"\bmetadata[\"']?\s*:\s*\{{[^}}]*?\bname[\"']?\s*:\s*{_VALUE}")
_BLOCKS = {
    key: re.compile(
        rf"^(?P<indent> *){key}:[ \t]*(?:#.*)?\n(?P<body>(?:(?P=indent) +\S.*\n|[ \t]*\n)*)",
        re.MULTILINE,
    )
    for key in ("metadata", "segments")
}
_KEY = re.compile(rf"^( +){_VALUE}[\"']?:[ \t]*{_VALUE}?", re.MULTILINE)


def scan_segment_names(text: str) -> Iterator[str]:
    """Yield the names of the segments that the documents of a YAML text declare."""
    for document in _DOCUMENT_END.split(f"{text}\n"):
        kind = _KIND.search(document)
        if not kind or not _API_VERSION.search(document):
            continue
        if kind[1] == "SegmentTable":
            yield from (key for key, _ in _entries(document, "segments"))
        elif name := _FLOW_NAME.search(document):
            yield name[1]
        else:
            yield from (value for key, value in _entries(document, "metadata") if key == "name")


def _entries(document: str, key: str) -> list[tuple[str, str]]:
    """Return the keys of a mapping in block notation, with their values if these are words."""
    block = _BLOCKS[key].search(document)
    found = _KEY.findall(block["body"]) if block else []
    depth = min((len(indent) for indent, _, _ in found), default=0)
    return [(name, value) for indent, name, value in found if len(indent) == depth]
