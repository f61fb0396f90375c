"""The simulated provider: an HTTP server that speaks the OpenAI wire, seeded, with faults on demand and its own bill.

It imports nothing of the gateway but its settings, so that what it bills is an independent figure.
See docs/how-to/simulate.md.
"""
