"""The pods of deploy/kubernetes, as kubectl renders them, run by `podman kube play`.

There is no Kubernetes API server: Services, budgets, policies and the autoscaler are checked by their schema only.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.containers.conftest import Images
from tests.support.packaging.containers import ROOT, Podman, run

pytestmark = pytest.mark.timeout(900)

OVERLAYS = ROOT / "deploy" / "kubernetes" / "overlays"

FIELDS = {"status.hostIP": "consul-server", "status.podIP": "eth0"}
"""What stands for fields of a pod, which podman cannot fill in: the agent's host, and the address to advertise."""


def playable(images: Images, overlay: str) -> str:
    """The overlay's pods, one of each, with the test's images, and a Consul of the name that they expect."""
    documents = [d for d in rendered(overlay) if d["kind"] in ("ConfigMap", "Deployment")]
    for document in documents:
        if document["kind"] == "ConfigMap":
            document["data"]["P2P_WORKER_ENGINE"] = "echo"
        else:
            document["spec"]["replicas"] = 1
            (container,) = document["spec"]["template"]["spec"]["containers"]
            container["image"] = f"{getattr(images, container['name'])}:latest"
            container["imagePullPolicy"] = "Never"
            container["env"] = expanded(container.get("env", ()))
    arguments = ["agent", "-dev", "-client=0.0.0.0", '-bind={{ GetInterfaceIP "eth0" }}']
    container = {"name": "consul", "image": f"{images.consul}:latest", "imagePullPolicy": "Never", "args": arguments}
    consul = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "consul-server"},
        "spec": {"containers": [container]},
    }
    return yaml.safe_dump_all([consul, *documents])


def expanded(variables: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The variables as Kubernetes would set them: with fields of the pod, and $(NAME) for those that come before."""
    known: dict[str, str] = {}
    for variable in variables:
        if "valueFrom" in variable:
            known[variable["name"]] = FIELDS[variable["valueFrom"]["fieldRef"]["fieldPath"]]
        else:
            known[variable["name"]] = re.sub(r"\$\((\w+)\)", lambda name: known[name[1]], variable["value"])
    return [{"name": name, "value": value} for name, value in known.items()]


def rendered(overlay: str) -> list[dict[str, Any]]:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    return list(yaml.safe_load_all(run("kubectl", "kustomize", OVERLAYS / overlay)))


@pytest.fixture(params=["catalog", "client-agents"])
def overlay(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def lookup(podman: Podman, images: Images, overlay: str, tmp_path: Path) -> Iterator[str]:
    """The lookup service's address, while the pods run."""
    network, file = f"p2p-test-kube-{os.getpid()}", tmp_path / "pods.yaml"
    file.write_text(playable(images, overlay), encoding="utf-8")
    podman("network", "create", "--subnet", f"198.18.{random.randrange(1, 250)}.0/24", network)
    try:
        podman("kube", "play", "--network", network, file, timeout_s=120)
        infra = podman("pod", "inspect", "p2p-lookup-pod-0", "--format", "{{.InfraContainerID}}").strip()
        networks = json.loads(podman("inspect", infra))[0]["NetworkSettings"]["Networks"]
        yield f"{networks[network]['IPAddress']}:12480"
    finally:
        take_down(podman, file)
        podman("network", "rm", "--force", network)


def take_down(podman: Podman, file: Path) -> None:
    """End the pods; podman sometimes finds a container's memory still mounted, and succeeds the next time."""
    for last in (False, False, True):
        try:
            podman("kube", "down", file, timeout_s=120)
            return
        except AssertionError:
            if last:
                raise
            time.sleep(1)


def test_a_pod_is_looked_up_and_answers(podman: Podman, overlay: str, lookup: str) -> None:
    """A worker's pod registers, in the catalogue or at the agent, answers an image, and leaves when it is stopped."""
    end_s = time.monotonic() + 60
    while True:
        try:
            worker = run("curl", "-sf", "-m", "5", f"{lookup}/next").strip()
            break
        except AssertionError:
            assert time.monotonic() < end_s, podman.logs("p2p-worker-pod-0-worker")
            time.sleep(0.1)
    photo = ROOT / "deploy" / "cat.jpg"
    said = json.loads(run("curl", "-s", "-m", "10", "-F", f"data=@{photo}", f"http://{worker}"))
    assert [label for label, _ in said] == ["width", "height"]
    while overlay == "catalog" and "checks the workers" not in podman.logs("p2p-lookup-pod-0-lookup"):
        assert time.monotonic() < end_s
        time.sleep(0.1)
    # Not the pod: podman would end its network at the same moment, and nobody could be told.
    podman("stop", "--time", "60", "p2p-worker-pod-0-worker")
    assert json.loads(run("curl", "-s", "-m", "5", f"{lookup}/instances/classify"))["instances"] == []
