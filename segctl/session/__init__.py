"""The state as one run uses it: loading, lock, recovery, merging, and the run's engine.

Import ``context.Context`` (what varies between runs), ``locked_state`` for a run that writes and
``load`` for one that only reads. What never belongs here: what a command does with the state
(``workflows/``), and where its bytes are (``backends/``).
"""
