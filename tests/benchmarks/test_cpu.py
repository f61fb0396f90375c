from __future__ import annotations

import os
import subprocess
import sys

from benchmarks.cpu import cpu_s, rss_bytes, tree

BURN = "import time\nwhile time.process_time() < 0.2: pass\nprint(time.process_time(), flush=True)\ninput()"


def test_a_process_is_charged_what_it_used_itself() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", BURN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        own_count = float(child.stdout.readline())
        assert cpu_s(child.pid) >= own_count >= 0.2
        assert 1_000_000 < rss_bytes(child.pid) < rss_bytes(os.getpid())
        assert child.pid in tree(os.getpid())
        child.communicate("\n")


def test_children_count() -> None:
    parent = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {BURN!r}], check=True)"
    with subprocess.Popen(
        [sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert len(tree(child.pid)) == 2
        assert cpu_s(child.pid) >= 0.2
        child.communicate("\n")
