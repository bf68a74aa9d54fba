"""Places that keep state and its lock."""
