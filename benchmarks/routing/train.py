"""Learn the weights that Farebox ships.

    python -m benchmarks.routing.train FOLDER            # writes routing/weights.bin
    python -m benchmarks.routing.train FOLDER --check    # exit 1 when it would be another file

The same tables give the same bytes. docs/complexity.md says where the tables come from.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.routing.data import read_tables, training_rows
from benchmarks.routing.learning import learn, lesson
from routing.weights import pack

TARGET = Path(__file__).parents[2] / "routing" / "weights.bin"


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.routing.train", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the replay tables are")
    parser.add_argument("--check", action="store_true", help="compare with the shipped weights, write nothing")
    options = parser.parse_args()
    weights = learn(lesson(training_rows(read_tables(options.folder).rows)))
    data = pack(weights)
    same = TARGET.exists() and TARGET.read_bytes() == data
    print(f"{weights.header.rows} rows, {len(data)} bytes, {'the same' if same else 'not the same'} as {TARGET.name}")
    if options.check:
        return 0 if same else 1
    TARGET.write_bytes(data)
    return 0


if __name__ == "__main__":
    sys.exit(main())
