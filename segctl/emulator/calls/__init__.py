"""The vendor's calls: from a request to an answer."""
