"""Runs schemathesis against a worker, with requests that its OpenAPI description allows and others that it does not.

    python -m benchmarks.fuzz.openapi [--examples 200] [--seed N]

Starts a worker with the engine that predicts nothing and an embedded Consul agent of its own, and runs schemathesis
against /openapi.json with the description's examples, boundary values and random values. If an answer is a 5xx other
than 503 and 504 (the right answers to a deadline of a microsecond), or has a status, a media type or a schema that is
not described, it prints the requests that repeat it and exits with code 1.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from registry.agent.server import serve_agent
from tests.support.workers.echo_worker import echo_worker

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
)
SETTINGS = '[checks.not_a_server_error]\nexpected-statuses = ["2xx", "3xx", "4xx", "503", "504"]\n'


async def examine(url: str, boot: str, *, examples: int, phases: Sequence[str], seed: int) -> tuple[int, str]:
    """Run schemathesis against the worker at `url` with so many examples per path; its exit code and report."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Path(folder) / "schemathesis.toml"
        settings.write_text(SETTINGS)
        command = [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(settings)),
            *("run", f"{url}/openapi.json", "--checks", ",".join(CHECKS), "--phases", ",".join(phases)),
            *("--max-examples", str(examples), "--seed", str(seed), "--continue-on-failure", "--no-color"),
            *("--header", f"P2P-Boot: {boot}", "--warnings", "off"),
        ]
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, cwd=folder
        )
        try:
            report, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    return process.returncode or 0, report.decode()


async def _run(examples: int, seed: int) -> int:
    async with serve_agent(host="127.0.0.1", port=0) as consul, echo_worker(consul.url) as worker:
        phases, boot = ("examples", "coverage", "fuzzing"), worker.running.state.boot
        code, report = await examine(worker.url, boot, examples=examples, phases=phases, seed=seed)
    print(report)
    return code


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--examples", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    sys.exit(asyncio.run(_run(arguments.examples, arguments.seed)))


if __name__ == "__main__":
    main()
