"""Runs third-party clients of the standard protocols, as their packages ship them, against a worker.

    python -m benchmarks.compatibility [--keep FOLDER] [triton] [kserve] [mlserver] [open_inference]

Each client is installed into an environment of its own, because the pinned versions contradict ours and each other's;
into FOLDER, where the next run finds it, or into a temporary folder. Each script makes every call that its client
offers and fails at a wrong answer; its last line names the calls. The exit code is 1 if a script fails.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import venv
from pathlib import Path

from benchmarks.harness.inputs import PHOTO
from registry.agent.server import serve_agent
from tests.support.workers.echo_worker import echo_worker

PACKAGES = {
    "triton": ["tritonclient[http]"],
    "kserve": ["kserve"],
    "mlserver": ["mlserver", "httpx"],
    "open_inference": ["open-inference-openapi"],
}


async def _run(names: list[str], folder: Path) -> int:
    failed = 0
    async with serve_agent(host="127.0.0.1", port=0) as consul, echo_worker(consul.url) as worker:
        for name in names:
            python = await asyncio.to_thread(_environment, folder / name)
            code, _ = await _call(str(python), "-m", "pip", "install", "--quiet", *PACKAGES[name])
            script = Path(__file__).with_name(f"with_{name}.py")
            if code == 0:
                code, text = await _call(str(python), str(script), worker.url, "echo", str(PHOTO))
                print(f"{name:15} {'works' if code == 0 else 'FAILS'}: {text.strip().splitlines()[-1]}")
            failed += code != 0
    return 1 if failed else 0


def _environment(folder: Path) -> Path:
    """The interpreter of a virtual environment, which is created if it is missing."""
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
    return python


async def _call(*command: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("clients", nargs="*", metavar="|".join(PACKAGES))
    parser.add_argument("--keep", type=Path)
    arguments = parser.parse_args()
    names = arguments.clients or list(PACKAGES)
    if unknown := set(names) - set(PACKAGES):
        parser.error(f"no such client: {', '.join(unknown)}")
    with tempfile.TemporaryDirectory() as folder:
        sys.exit(asyncio.run(_run(names, arguments.keep or Path(folder))))


if __name__ == "__main__":
    main()
