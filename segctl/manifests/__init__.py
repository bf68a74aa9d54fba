"""The user's YAML, from text to desired state; pure."""
