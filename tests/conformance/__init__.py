"""The real agent SDKs, each in an environment of its own, against a real gateway and the simulated provider.

`make conformance` runs them all and writes docs/conformance.md; test_core.py runs five of them in `make test`.
"""
