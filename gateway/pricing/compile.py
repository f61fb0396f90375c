"""Compile genai-prices' data into a file, in a process of its own that ends afterwards.

python -m gateway.pricing.compile OUT        write the table
python -m gateway.pricing.compile --report   print what the table leaves out or rounds, as JSON
"""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

from gateway.pricing.cache import pack


def main(arguments: list[str]) -> int:
    """Run the command; 0 on success, 2 when it was called wrongly."""
    if len(arguments) != 1:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    from genai_prices.data import providers

    from gateway.pricing.genai import Report, compile_providers

    report = Report()
    table = compile_providers(providers, report)
    if arguments[0] == "--report":
        sys.stdout.write(json.dumps(dataclasses.asdict(report), indent=2) + "\n")
    else:
        Path(arguments[0]).write_bytes(pack(table))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
