"""Level 3: providers, reached by one HTTP client, spoken to in their dialects."""
