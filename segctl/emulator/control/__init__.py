"""The emulator's own API under ``/emulator/v1/``."""
