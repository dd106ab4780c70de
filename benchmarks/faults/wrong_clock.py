"""Runs a module under libfaketime: ``python -m benchmarks.faults.wrong_clock MODULE``.

libfaketime 0.9.10 breaks clock_nanosleep(2) with an absolute time, which is what
``time.sleep`` uses since Python 3.11.
"""

from __future__ import annotations

import runpy
import select
import sys
import time


def sleep(seconds: float) -> None:
    """As ``time.sleep``, by another system call."""
    if seconds < 0:
        raise ValueError("sleep length must be non-negative")
    select.select([], [], [], seconds)


if __name__ == "__main__":
    time.sleep = sleep
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
