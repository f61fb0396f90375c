"""Rates: the generic cell rate algorithm. Pure."""
