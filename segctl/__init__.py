"""segctl: Terraform for audience segments.

The package is a house with floors (``docs/architecture.md``): words, pure
decisions, the world, use cases, the screen; the emulator stands beside it.
"""

__version__ = "0.1.0"
