"""The list of benchmarks that `make bench` runs."""

from __future__ import annotations

from pathlib import Path

from benchmarks.__main__ import BENCHMARKS, OTHERS, listing

ROOT = Path(__file__).parents[3]

STARTED_BY_BENCHMARKS = {
    "benchmarks.attack.relay",
    "benchmarks.client.counting_workers",
    "benchmarks.gpu.launch_worker",
    "benchmarks.gpu.part",
    "benchmarks.harness.load_generator",
    "benchmarks.lookup.paced_lookups",
    "benchmarks.network.sink_server",
    "benchmarks.rivals.bare_socket",
    "benchmarks.worker.bare_loop",
}


def commands() -> set[str]:
    """The modules of benchmarks whose documentation says that they are commands."""
    found = set()
    for file in (ROOT / "benchmarks").rglob("*.py"):
        module = ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__main__")
        if f"python -m {module} " in f"{file.read_text('utf-8')} ".replace("\n", " "):
            found.add(module)
    return found


def test_every_command_is_listed() -> None:
    """None is forgotten by `make bench`, which runs the list; what benchmarks start themselves is not in it."""
    listed = {one.module for one in (*BENCHMARKS, *OTHERS)}
    assert listed | STARTED_BY_BENCHMARKS | {"benchmarks"} == commands()


def test_the_listing_names_what_a_benchmark_needs() -> None:
    """One line for each command, with the programs that must be installed."""
    (line,) = (line for line in listing().splitlines() if "benchmarks.network.bandwidth" in line)
    assert "(needs ip, tc, nginx, curl, root)" in line


def test_make_fuzz_runs_commands_that_are_listed() -> None:
    """Each line of the target starts a fuzzer of the list."""
    lines = (ROOT / "Makefile").read_text().splitlines()
    fuzzers = {line.split("-m ")[1].split()[0] for line in lines if "benchmarks.fuzz" in line}
    assert fuzzers
    assert fuzzers <= {one.module for one in OTHERS}
