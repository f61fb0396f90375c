"""Who is calling (keys) and on whose behalf (attribution)."""
