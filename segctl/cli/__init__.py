"""The command line: one file a command. It parses options, prints, asks and sets the exit code.

Other packages never import this one; ``cli.main.run`` is the entry point of the program.
What never belongs here: a decision about segments, members or state (``workflows/``), and
the text of a view (``render/``).
"""
