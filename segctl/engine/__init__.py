"""Compare sets of members as columns: DuckDB, inside the process.

Import the protocol and its values from ``base``; only ``session/`` creates an engine. What
never belongs here: YAML, the reason for a change, and one Python object per member.
"""
