"""The journal's schema, step by step: one file per step in `versions/`, run by `gateway.journal.migrate`."""
