"""What a client may see of the store: events and skipped entries, in small pieces."""
