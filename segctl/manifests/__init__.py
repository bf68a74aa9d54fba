"""Compile the user's YAML into the desired state, and locate every problem in it.

Other folders import ``workspace.load_workspace`` and the values in ``desired``. Only ``workspace``
reads and writes files. Reading sources, and the recorded state, do not belong here.
"""
