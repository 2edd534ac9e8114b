"""Empty virtual environments, into which wheels of ours are installed with what they require, without a network."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
from collections.abc import Sequence
from importlib.metadata import Distribution, distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement


class BareEnvironment:
    """A virtual environment of this Python that holds nothing but what is installed into it.

    The distributions that a wheel requires, and no others, are linked from the environment that runs the tests:
    they are the versions under test, and gigabytes need not be copied.
    """

    def __init__(self, folder: Path) -> None:
        venv.create(folder, symlinks=True)
        self.bin = folder / "bin"
        self.site_packages = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))

    def install(self, wheel: Path, *, extras: Sequence[str] = ()) -> None:
        """Install a wheel, and what it requires with these extras."""
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(self.bin / "python")]
        subprocess.run([*pip, "install", "--quiet", "--no-deps", "--no-index", str(wheel)], check=True)
        name = wheel.name.partition("-")[0].replace("_", "-")
        self._link_requirements(self._installed()[name], frozenset(extras), seen=set())

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a program of this environment, from its own folder, so that no source lies at hand."""
        program = self.bin / command[0]
        return subprocess.run(
            [str(program), *command[1:]], cwd=self.bin, env={}, capture_output=True, text=True, timeout=60
        )

    def _installed(self) -> dict[str, Distribution]:
        return {one.metadata["Name"].lower(): one for one in distributions(path=[str(self.site_packages)])}

    def _link_requirements(self, dist: Distribution, extras: frozenset[str], seen: set[tuple[str, str]]) -> None:
        for text in dist.requires or ():
            requirement = Requirement(text)
            wanted = {extra for extra in ("", *extras) if _applies(requirement, extra)}
            key = (requirement.name.lower(), ",".join(sorted(requirement.extras)))
            if wanted and key not in seen:
                seen.add(key)
                required = self._installed().get(requirement.name.lower()) or distribution(requirement.name)
                self._link(required)
                self._link_requirements(required, frozenset(requirement.extras), seen)

    def _link(self, dist: Distribution) -> None:
        tops = {file.parts[0] for file in dist.files or () if file.parts[0] not in ("..", "__pycache__")}
        for top in tops:
            link = self.site_packages / top
            if not link.exists():
                link.symlink_to(Path(str(dist.locate_file(top))).resolve())


def _applies(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})
