"""Send the requests of a plan and record what became of each.

Import ``apply.Apply``, which runs one apply from the guards to the new state. What never
belongs here: computing changes (``planning/``), HTTP (``provider/``), and the format of the
journal (``backends/``).
"""
