"""Reads rows, compares sets of members, and writes delta, requests and member files, with DuckDB.

Import values from ``model`` and interfaces from ``protocols``; only ``session`` creates an
engine, ``duckdb.DuckEngine``. YAML, the reasons for changes, and a Python object per member do
not belong here.
"""
