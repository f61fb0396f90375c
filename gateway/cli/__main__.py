"""`python -m gateway.cli` is `farebox`."""

from gateway.cli import main

main()
