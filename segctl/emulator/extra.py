"""The libraries of the ``emulator`` extra, which may not be installed."""

LIBRARIES = frozenset({"pyroaring", "starlette", "uvicorn"})
INSTALL = "pip install 'segctl[emulator]'"


def missing_library(error: ModuleNotFoundError) -> str | None:
    """Return the library of the extra whose import failed, or None for another module."""
    library = (error.name or "").partition(".")[0]
    return library if library in LIBRARIES else None
