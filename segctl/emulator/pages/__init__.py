"""The emulator's pages, rendered by the server: what the dashboard would show."""
