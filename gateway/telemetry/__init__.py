"""Level 3: what happened, told to people: events (level 1) and the adapters that count and log them."""
