"""Counters that admit and settle: one protocol, a store in memory and one in Valkey."""
