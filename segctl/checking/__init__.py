"""Checking: recompute the proof of a lower bound on requests (``docs/packing.md``).

The engine imports ``splits`` and ``widths``, one for each theorem.  They share no code with
``packing/``, so that one mistake cannot confirm itself; import-linter holds that.  Numbered users
and operations go in, a number comes out.
"""
