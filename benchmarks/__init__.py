"""What the gateway costs. `python -m benchmarks.overhead --json`; docs/performance.md explains the figures."""
