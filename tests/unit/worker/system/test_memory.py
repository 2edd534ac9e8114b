"""Which objects the collector looks at, what it frees, and what malloc keeps."""

from __future__ import annotations

import subprocess
import sys
import weakref

from tests.support.python_program import printed_numbers
from worker.system import memory
from worker.system.memory import release_memory


class Held:
    """Something that only a cycle holds."""

    def __init__(self) -> None:
        self.itself = self


def test_what_only_cycles_hold_is_given_back() -> None:
    """A model whose parts refer to each other is gone afterwards."""
    gone = weakref.ref(Held())
    release_memory()
    assert gone() is None


def test_the_heap_is_frozen_once() -> None:
    """The first call exempts all objects from collection; later calls exempt no models that exist by then."""
    code = "import gc; from worker.system.memory import freeze_heap; freeze_heap(); one = gc.get_freeze_count(); "
    code += "kept = [[] for _ in range(1000)]; freeze_heap(); print(one > 1000, gc.get_freeze_count() - one)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    frozen, more = said.split()
    assert frozen == "True"
    assert int(more) <= 0


def test_freed_memory_is_used_again_without_page_faults() -> None:
    """A megabyte taken and freed a hundred times is got from the kernel once, not each time."""
    program = """
import resource
from worker.system.memory import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(100):
        pieces = [bytes([1]) * 250_000 for _ in range(4)]
        body = b"".join(pieces)
        copies = [body[1:], body[2:]]
        del pieces, body, copies
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults()
print(faults())
keep_freed_memory()
faults()
print(faults())
"""
    alone, kept = printed_numbers(program)
    assert kept < 1000 < alone  # of 100 x 4 MB / 4 kB = 100,000


def test_much_freed_memory_goes_back_to_the_kernel() -> None:
    """What threads have freed in heaps of their own stays with the process at first, and not for long."""
    program = """
import asyncio, threading
from worker.system import memory

def some(keep, turn, end):
    with turn:
        blocks = [bytes([1]) * (20 << 20) for _ in range(10)]
        keep.append(bytes([1]) * 1000)  # at the end of the last heap, so that free() cannot shrink it
        del blocks
    end.wait()  # a thread that has ended leaves its heaps to the next one

async def main():
    memory.keep_freed_memory()
    memory.LOOK_EVERY_S = 0.05
    returning, kept, before = asyncio.create_task(memory.return_freed_memory()), [], memory.resident_bytes()
    await asyncio.sleep(0)  # it has looked once
    turn, end = threading.Lock(), threading.Barrier(4)
    threads = [threading.Thread(target=some, args=(kept, turn, end)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print((memory.resident_bytes() - before) >> 20)
    async with asyncio.timeout(20):
        while memory.resident_bytes() - before > 100 << 20:
            await asyncio.sleep(0.02)
    print((memory.resident_bytes() - before) >> 20)

asyncio.run(main())
"""
    freed, left = printed_numbers(program)
    assert freed > memory.FREE_AT_MOST_BYTES >> 20
    assert left <= 100
