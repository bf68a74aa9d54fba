"""The plan as a value: model, attribute diff, guards, rules, findings, and its file format.

Import ``model`` for the values; every other module is a function over them, and only ``file``
reads and writes. What never belongs here: reading sources or state (findings about the rows of a
source are in ``planning/row_findings.py``), sending, and rendering.
"""
