"""What a process uses is read from the kernel."""

from __future__ import annotations

import os
import threading

from benchmarks.soak.usage import usage


def test_a_file_and_a_thread_more_are_seen() -> None:
    """An open file and a running thread are counted; a process has memory of its own."""
    before = usage(os.getpid(), at_s=0.0, tasks=3)
    over = threading.Event()
    thread = threading.Thread(target=over.wait)
    thread.start()
    with open(os.devnull):
        during = usage(os.getpid(), at_s=5.0, tasks=3)
    over.set()
    thread.join()
    assert (during.files, during.threads) == (before.files + 1, before.threads + 1)
    assert 0 < before.unique_mb <= before.proportional_mb
    assert (during.at_s, during.tasks) == (5.0, 3)
