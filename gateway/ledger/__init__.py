"""Budgets, windows, runs and reservations: what may be spent, decided without a clock, a network or a disk."""
