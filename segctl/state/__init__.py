"""The recorded state as a value: model, JSON codec, history. Touches no files.

Import ``model`` for the values and ``codec`` for the format of the head. What never belongs
here: where state is stored (``backends/``), and how an apply changes it (``session/``).
"""
