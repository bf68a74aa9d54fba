"""Compile the user's YAML into the desired state, and locate every problem in it.

Other folders import ``workspace.load_workspace`` and the values in ``desired`` and ``limits``. Only
``workspace``, ``manifest_files``, ``named_files`` and ``ignored_files`` read files, and only
``workspace`` writes them. Reading sources, and the recorded state, do not belong here.
"""
