"""Where members come from. Each kind of source is one module that resolves it to rows.

Import ``reader.resolve_rows`` for any source, and ``path_policy`` for the files that a
manifest may read. Databases, buckets and programs are read here; the rows of a local file are
read by ``engine/``, which gets its path. What never belongs here: comparing members, and knowing
what a source is used for.
"""
