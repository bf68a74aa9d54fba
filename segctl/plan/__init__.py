"""The plan as a value: model, attribute diff, guards, rules, findings, and its file format.

Import ``model`` for the values; every other module is a function over them. Only ``file``
reads and writes. What never belongs here: reading sources or state, sending, and rendering.
"""
