"""The emulator's pages: what the dashboard would show, rendered by the server."""
