"""How much a router saves on recorded runs of several models, and at what quality (docs/complexity.md)."""
