"""Compares sets of members as columns, with DuckDB inside the process.

Import values from ``model`` and interfaces from ``protocols``; only ``session`` creates an
engine, ``duckdb.DuckEngine``. YAML, the reasons for changes, and a Python object per member do
not belong here.
"""
