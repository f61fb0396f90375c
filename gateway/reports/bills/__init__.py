"""Providers' own words of what was used and what it costs: their exports, read."""
