"""What the books say, for people: budgets as they stand, and whether the counters agree with the journal."""
