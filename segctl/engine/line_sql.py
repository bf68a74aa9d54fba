"""Members as lines, made in SQL, so that ten million of them need no Python object each."""

from segctl.core.member_hash import HASH_DIGITS
from segctl.engine import sql

_ONE_LINE = (
    "CASE WHEN contains(value, chr(10)) OR contains(value, chr(9)) "
    "THEN regexp_replace(value, '[\\n\\t]', '\N{REPLACEMENT CHARACTER}', 'g') ELSE value END"
)
"""No valid value has a line break or a tab, but a damaged file may. They would add lines."""


def select_lines(members: str, *, hashed: bool, with_kind: bool) -> str:
    """Return a SELECT of one column: each value, and after a tab its kind if ``with_kind``.

    ``members`` is a SELECT of ``kind`` and ``value``. Values are not escaped. If they are
    ``hashed``, the lines are ``#`` and the hash, in order.
    """
    shown = f"'#' || left({sql.MEMBER_HASH}, {HASH_DIGITS})" if hashed else _ONE_LINE
    kind = " || chr(9) || kind" if with_kind else ""
    order = " ORDER BY line" if hashed else ""
    return f"SELECT {shown}{kind} AS line FROM ({members}){order}"
