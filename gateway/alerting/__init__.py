"""Tells people when something is wrong: what to tell, where, how, and how often."""
