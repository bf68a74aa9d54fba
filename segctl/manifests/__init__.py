"""The user's YAML, from text to desired state, with every problem located.

Import ``workspace.load_workspace`` to read a workspace, and the values in ``desired``. Only
``workspace`` touches the disk. What never belongs here: reading a source, and the recorded state.
"""
