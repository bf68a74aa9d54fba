"""Where members come from: one file a kind of source, each resolved to rows for the engine.

Import ``reader.resolve_rows`` for any source, ``path_policy`` for what a manifest may read. What
never belongs here: comparing members, and knowing what a source is used for.
"""
