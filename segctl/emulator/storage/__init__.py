"""What the service knows: accounts, profiles, segments, events, in memory and in SQLite."""
