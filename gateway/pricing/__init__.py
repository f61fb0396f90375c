"""What a model costs: genai-prices compiled to a table, the configuration's overrides, estimates of missing usage."""
