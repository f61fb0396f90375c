"""`python -m gateway.simulator`: the simulated provider as a process of its own."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from gateway.config.snapshot import SimulatorSettings
from gateway.simulator.server import run
from gateway.simulator.tokenizer import TokenizerMissing


def main(arguments: list[str] | None = None) -> int:
    """Read the arguments and serve; the exit status."""
    defaults = SimulatorSettings()
    parser = argparse.ArgumentParser(
        prog="python -m gateway.simulator", description="A simulated provider with OpenAI's API."
    )
    parser.add_argument("--host", default=defaults.host, help="address to listen on (default: %(default)s)")
    parser.add_argument(
        "--port", type=int, default=defaults.port, help="port; 0 takes any free one (default: %(default)s)"
    )
    parser.add_argument(
        "--seed", type=int, default=defaults.seed, help="same seed, same answers (default: %(default)s)"
    )
    parser.add_argument(
        "--speed", type=float, default=defaults.speed, help="1 a real pace, 0 no waiting (default: %(default)s)"
    )
    parser.add_argument(
        "--bill", type=Path, default=None, metavar="FILE", help="append every billed generation as a JSON line"
    )
    parser.add_argument("--while-stdin", action="store_true", help="end when standard input does")
    asked = parser.parse_args(arguments)
    if asked.speed < 0:
        parser.error("--speed must be at least 0")
    try:
        run(
            SimulatorSettings(True, asked.host, asked.port, asked.seed, asked.speed),
            asked.bill,
            while_stdin=asked.while_stdin,
        )
    except (OSError, TokenizerMissing) as error:
        print(f"farebox simulator: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
