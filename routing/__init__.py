"""Level 0: what decides. Pure functions and values; no I/O, no clocks, no chance of its own."""
