"""The screen: one file a command."""
