"""Where members come from, one file a kind of source."""
