"""What compares member sets; DuckDB in the process."""
