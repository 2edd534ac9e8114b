"""What the small parts weigh: resident memory of the lookup service and the embedded agent, start-up of commands.

python -m benchmarks.lookup.footprint
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from benchmarks.harness.rounds import P2P, answers, free_port, rss_mb, server, wrk

ROUNDS = 7


def seconds(command: list[str]) -> float:
    """Median wall-clock seconds of a command."""
    took = []
    for _ in range(ROUNDS):
        began_s = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        took.append(time.perf_counter() - began_s)
    return statistics.median(took)


def main() -> None:
    agent_port, lookup_port = free_port(), free_port()
    agent_url = f"http://127.0.0.1:{agent_port}"
    with server([*P2P, "agent", "--port", str(agent_port)]) as agent:
        answers(f"{agent_url}/v1/agent/self")
        lookup = ["registry", "--port", str(lookup_port), "--consul", agent_url, "--state", ""]
        with server([*P2P, *lookup]) as registry:
            answers(f"http://127.0.0.1:{lookup_port}/readyz")
            wrk(f"http://127.0.0.1:{lookup_port}/healthz", seconds=2)
            rows = {
                "lookup service, after 2 s of load": f"{rss_mb(registry.pid):.0f} MB",
                "embedded agent": f"{rss_mb(agent.pid):.0f} MB",
            }
    rows["p2p --help"] = f"{seconds([*P2P, '--help']):.2f} s"
    rows["python -c 'import p2pclient'"] = f"{seconds([sys.executable, '-c', 'import p2pclient']):.2f} s"
    print("| | |\n| --- | --- |")
    for name, value in rows.items():
        print(f"| {name} | {value} |")


if __name__ == "__main__":
    main()
