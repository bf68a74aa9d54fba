"""The state as one run uses it: lock, recovery, loading, recording, and the run's engine.

Import ``context.Context`` (what varies between runs), ``locked_state`` for a run that writes
and ``recording`` for one that reads. What never belongs here: what a command does with the
state (``workflows/``), and where its bytes are (``backends/``).
"""
