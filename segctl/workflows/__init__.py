"""What each command does, in order: one file a workflow, from the first read to the last write.

``cli/`` imports the functions and their result types; each takes a ``Context`` and returns
a value. What never belongs here: printing, the look of a result, SQL, and rules that a
single value can decide for itself (``plan/``, ``state/``).
"""
