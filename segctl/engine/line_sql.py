"""Members as lines, made in SQL, so that ten million of them need no Python object each."""

from segctl.core.identity import MAX_SHOWN

_MASKED = f"""
SELECT kind, CASE
    WHEN at_sign > 1 AND dot > 0 AND contains(trim(domain, '.'), '.') AND 1 + dot <= shown
        THEN left(value, 1) || '…@' || left(domain, 1) || '….' || right(domain, dot - 1)
    ELSE left(value, (shown + 1) // 2) || '…' || right(value, shown // 2) END AS value
FROM (
    SELECT *, strpos(reverse(domain), '.') AS dot
    FROM (
        SELECT *, least(length(value) // 3, {MAX_SHOWN}) AS shown,
               substr(value, at_sign + 1) AS domain
        FROM (SELECT kind, value, strpos(value, '@') AS at_sign FROM ({{members}}))
    )
)
"""
"""``core.identity.mask_identity``; ``dot`` is the place of the last dot, from the end."""

_ONE_LINE = (
    "CASE WHEN contains(value, chr(10)) OR contains(value, chr(9)) "
    "THEN regexp_replace(value, '[\\n\\t]', '\N{REPLACEMENT CHARACTER}', 'g') ELSE value END"
)
"""No valid value has a line break or a tab, but a damaged file may. They would add lines."""


def select_lines(members: str, *, masked: bool, with_kind: bool) -> str:
    """Return a SELECT of one column: each value, and after a tab its kind if ``with_kind``.

    ``members`` is a SELECT of ``kind`` and ``value``. Values are not escaped.
    """
    shown = _MASKED.format(members=members) if masked else members
    kind = " || chr(9) || kind" if with_kind else ""
    return f"SELECT {_ONE_LINE}{kind} AS line FROM ({shown})"
