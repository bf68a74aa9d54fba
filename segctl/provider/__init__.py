"""Our side of the CleverTap API."""
