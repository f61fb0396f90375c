"""Farebox: the gateway around the decisions in `routing`. See docs/architecture.md for the request's path."""

__version__ = "0.1.0"
