"""The deployment that is soaked: a real Consul, a lookup service with DNS, and workers of images and of tensors."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path

from benchmarks.harness.consul import consul_command
from benchmarks.harness.p2p import ROOT, Running, lookup_service, wait_for_workers, worker
from benchmarks.harness.processes import free_ports, get, server, wait_until
from benchmarks.soak.targets import IMAGES, TENSORS, Targets
from benchmarks.soak.warm_up import fill_event_log
from tests.support.models.dense_model import CLASSES, write_onnx

STEADY = {IMAGES: 2, TENSORS: 2}
"""How many workers of each service live as long as the deployment; one more of IMAGES is killed again and again."""

PATIENCE_S = 180.0
"""For a start, a restart or a swap, on a machine that does other things, too."""

_EXAMPLE = ROOT / "docs" / "guide" / "examples" / "two_inputs.py"


class Deployment:
    """Running processes; `steady` are those that live as long as the deployment, by name."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self._folder = folder
        self._version = 0
        self._consul_stack, self._killed_stack = (stack.enter_context(ExitStack()) for _ in range(2))
        self._models = {service: folder / "models" / service for service in STEADY}
        self._publish()
        http, dns_port, dns = free_ports(3)
        self._consul_url = f"http://127.0.0.1:{http}"
        self._consul_command = consul_command(folder, host="127.0.0.1", http_port=http, dns_port=dns_port)
        self._consul = self._started_consul()
        lookup = stack.enter_context(lookup_service(self._consul_url, "--dns-port", str(dns), core=None))
        self.targets = Targets(lookup.port, dns)
        self.steady = {"lookup service": lookup}
        for service, count in STEADY.items():
            for number in range(1, count + 1):
                self.steady[f"worker {number} of {service}"] = stack.enter_context(self._worker(service))
        self._killed = self._killed_stack.enter_context(self._worker(IMAGES))
        wait_for_workers(lookup.url, STEADY | {IMAGES: STEADY[IMAGES] + 1})
        fill_event_log(self._consul_url, lookup.url)

    def kill_worker(self) -> None:
        """Kill a worker of IMAGES (SIGKILL), and start another one."""
        self._killed.process.kill()
        self._killed_stack.close()
        self._killed = self._killed_stack.enter_context(self._worker(IMAGES))

    def swap_versions(self) -> None:
        """Publish the next version of both models; returns when all workers serve it alone."""
        self._publish()
        workers = [running for name, running in self.steady.items() if name.startswith("worker")]
        for running in (*workers, self._killed):
            what = f"{running.url} serves version {self._version} alone"
            wait_until(partial(self._serves_newest, running.url), what=what, within_s=PATIENCE_S)
        for model in self._models.values():
            shutil.rmtree(model / str(self._version - 1))

    def restart_consul(self) -> None:
        """Stop Consul (SIGTERM) and start it again with its data."""
        self._consul_stack.close()
        self._consul = self._started_consul()

    def _started_consul(self) -> subprocess.Popen[bytes]:
        """Consul, once it has a leader and serves its catalog."""
        running = server(self._consul_command, core=None, log=self._folder / "consul.log")
        process = self._consul_stack.enter_context(running)
        url = f"{self._consul_url}/v1/catalog/service/consul"
        wait_until(lambda: "ServiceID" in get(url, process=process), what="Consul has a leader", within_s=PATIENCE_S)
        return process

    def _worker(self, service: str) -> AbstractContextManager[Running]:
        flags = ["--service", service, "--model", str(self._models[service]), "--allow-unsafe-model"]
        engine = {IMAGES: "onnx", TENSORS: "python"}[service]
        log = self._folder / f"{service}.log"
        return worker(self._consul_url, *flags, engine=engine, core=None, log=log, within_s=PATIENCE_S)

    def _publish(self) -> None:
        """Publish the next version of both models, each at once."""
        self._version += 1
        for service, root in self._models.items():
            part = root / f"{self._version}.part"
            part.mkdir(parents=True)
            if service == IMAGES:
                write_onnx(part / "model.onnx", metadata={"version": str(self._version)})
                (part / "labels.txt").write_text("".join(f"label {number}\n" for number in range(CLASSES)))
            else:
                shutil.copy(_EXAMPLE, part / "model.py")
            part.rename(root / str(self._version))

    def _serves_newest(self, url: str) -> bool:
        (model,) = json.loads(get(f"{url}/readyz"))["models"].values()
        states = {version["version"]: version["state"] for version in model["versions"]}
        if states.get(str(self._version)) == "END":
            raise RuntimeError(f"{url} cannot load version {self._version}: {model}")
        return states == {str(self._version): "AVAILABLE"}


@contextmanager
def deployment(folder: Path) -> Iterator[Deployment]:
    """A deployment that keeps its models and logs in `folder`, and ends with its block."""
    with ExitStack() as stack:
        yield Deployment(stack, folder)
