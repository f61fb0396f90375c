"""What the gateway learns of its agents: how long answers get, how many tokens their texts make."""
