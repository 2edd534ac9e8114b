"""The files of deploy/ that other programs read: Kubernetes manifests by their schema, Nomad jobs as HCL, Dockerfiles.

There is no Kubernetes API server and no Nomad here; tests/containers runs the pods and the images.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import hcl2
import jinja2
import kubernetes_validate
import pytest
import yaml

DEPLOY = Path(__file__).parents[3] / "deploy"
OVERLAYS = ("client-agents", "catalog")
KUBERNETES = "1.32"


def tool(name: str) -> str:
    """The path of a program beside this Python or on the PATH; the test is skipped where there is none."""
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def rendered(folder: Path) -> list[dict[str, Any]]:
    """What `kubectl kustomize` makes of a folder."""
    done = subprocess.run([tool("kubectl"), "kustomize", folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def base_documents() -> list[dict[str, Any]]:
    files = sorted((DEPLOY / "kubernetes" / "base").glob("*.yaml"))
    return [d for file in files for d in yaml.safe_load_all(file.read_text()) if "kustomize" not in d["apiVersion"]]


def pod(document: dict[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = document["spec"]["template"]["spec"]
    return spec


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_is_of_kubernetes_schema(overlay: str) -> None:
    """Both overlays are rendered by kubectl, and every object has only fields that Kubernetes knows."""
    documents = rendered(DEPLOY / "kubernetes" / "overlays" / overlay)
    for document in documents:
        kubernetes_validate.validate(document, KUBERNETES, strict=True)
    kinds = [document["kind"] for document in documents]
    assert sorted(kinds) == [
        "ConfigMap", "Deployment", "Deployment", "HorizontalPodAutoscaler", "NetworkPolicy", "NetworkPolicy",
        "PodDisruptionBudget", "PodDisruptionBudget", "Service",
    ]  # fmt: skip


def test_the_base_is_of_kubernetes_schema() -> None:
    """The same without kubectl, so that a misspelled field is found on every machine."""
    for document in base_documents():
        kubernetes_validate.validate(document, KUBERNETES, strict=True)


def test_workers_with_a_gpu(tmp_path: Path) -> None:
    """The component gives workers a GPU, nodes that have one, and the image that can use it."""
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": ["kubernetes/overlays/catalog"],
        "components": ["kubernetes/components/gpu"],
    }
    shutil.copytree(DEPLOY / "kubernetes", tmp_path / "kubernetes")
    (tmp_path / "kustomization.yaml").write_text(json.dumps(kustomization))
    documents = rendered(tmp_path)
    for document in documents:
        kubernetes_validate.validate(document, KUBERNETES, strict=True)
    (worker,) = (pod(d) for d in documents if d["kind"] == "Deployment" and d["metadata"]["name"] == "p2p-worker")
    (container,) = worker["containers"]
    assert worker["nodeSelector"] == {"nvidia.com/gpu.present": "true"}
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert container["image"].startswith("p2p-worker-cuda:")


def test_pods_have_no_rights() -> None:
    """No pod runs as root, gains rights, has a token of the API or writes to its image; none may grow without bound."""
    deployments = [document for document in base_documents() if document["kind"] == "Deployment"]
    assert len(deployments) == 2
    for spec in map(pod, deployments):
        assert (spec["automountServiceAccountToken"], spec["securityContext"]["runAsNonRoot"]) == (False, True)
        for container in spec["containers"]:
            security = container["securityContext"]
            assert (security["allowPrivilegeEscalation"], security["readOnlyRootFilesystem"]) == (False, True)
            assert security["capabilities"] == {"drop": ["ALL"]}
            assert "memory" in container["resources"]["limits"]


def test_policies_open_the_ports_that_serve() -> None:
    """Of each pod exactly the container's port is reached; a lookup service reaches the workers', to check them."""
    documents = base_documents()
    policies = {d["metadata"]["name"]: d["spec"] for d in documents if d["kind"] == "NetworkPolicy"}
    serving = {}
    for document in documents:
        if document["kind"] == "Deployment":
            (container,) = pod(document)["containers"]
            serving[document["metadata"]["name"]] = [port["containerPort"] for port in container["ports"]]
    opened = {
        name: [port["port"] for rule in spec["ingress"] for port in rule["ports"]] for name, spec in policies.items()
    }
    assert opened == serving
    (to_workers,) = (rule for rule in policies["p2p-lookup"]["egress"] if "to" in rule)
    assert [port["port"] for port in to_workers["ports"]] == serving["p2p-worker"]
    assert all(spec["policyTypes"] == ["Ingress", "Egress"] for spec in policies.values())


def test_a_worker_has_time_to_leave() -> None:
    """Kubernetes, Nomad and compose wait as long as a worker may take: its drain grace, then bodies, then requests."""
    longest_s = 2 + 30 + 30
    (worker,) = (pod(d) for d in base_documents() if d["kind"] == "Deployment" and "worker" in d["metadata"]["name"])
    assert worker["terminationGracePeriodSeconds"] >= longest_s
    compose = yaml.safe_load((DEPLOY / "docker" / "compose.yaml").read_text())
    assert seconds(compose["services"]["worker"]["stop_grace_period"]) >= longest_s
    job = (DEPLOY / "nomad" / "p2p-worker.nomad.hcl").read_text()
    assert seconds(re.findall(r'kill_timeout = "(\w+)"', job)[0]) >= longest_s


def seconds(duration: str) -> float:
    assert duration.endswith("s")
    return float(duration.removesuffix("s"))


def group_of(job: str) -> dict[str, Any]:
    """The only group of a Nomad job, with texts as they are without their quotes."""
    parsed = hcl2.loads((DEPLOY / "nomad" / f"{job}.nomad.hcl").read_text())
    bare = json.loads(re.sub(r'\\"', "", json.dumps(parsed)))
    (group,) = bare["job"][0][job]["group"]
    found: dict[str, Any] = group[job.removeprefix("p2p-")]
    return found


@pytest.mark.parametrize(("job", "provider"), [("p2p-lookup", "consul"), ("p2p-worker", "nomad")])
def test_a_nomad_job(job: str, provider: str) -> None:
    """Nomad restarts what fails its check. A worker registers itself: Nomad must not put it into Consul once more."""
    group = group_of(job)
    (service,) = group["service"]
    (check,) = service["check"]
    assert service["provider"] == provider
    assert service["name"] != "classify"
    assert check["check_restart"][0]["limit"] >= 3
    (task,) = group["task"]
    (config,) = task[job.removeprefix("p2p-")]["config"]
    assert (config["readonly_rootfs"], config["cap_drop"]) == (True, ["ALL"])


@pytest.mark.parametrize("file", sorted((DEPLOY / "docker").glob("*.Dockerfile")), ids=lambda file: file.stem)
def test_a_dockerfile_is_clean(file: Path) -> None:
    """hadolint finds nothing; base images are named with their version, and the process is not root."""
    done = subprocess.run([tool("hadolint"), file], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
    text = file.read_text()
    assert re.search(r"^ARG BASE=\S+:\d+\.\d+\.\d+\S*$", text, re.MULTILINE)
    assert "\nUSER 10001:10001\n" in text
    assert text.count("\nHEALTHCHECK ") == 1


def test_workers_of_compose_let_the_page_ask() -> None:
    """The lookup service's page may send photos under both names that browsers give to this machine."""
    compose = yaml.safe_load((DEPLOY / "docker" / "compose.yaml").read_text())
    (port,) = compose["services"]["lookup"]["ports"]
    published = port.removeprefix("127.0.0.1:").removesuffix(":12480")
    origins = compose["services"]["worker"]["environment"]["P2P_WORKER_CORS_ORIGIN"].split()
    assert origins == [f"http://{host}:{published}" for host in ("localhost", "127.0.0.1")]


@pytest.mark.parametrize(
    ("protection", "lookups", "origins"),
    [
        ([], ["l1", "l2"], "http://10.0.0.21:12480 http://10.0.0.22:12480"),
        (["tls", "tokens"], ["l1"], "https://10.0.0.21:12480"),
        ([], [], ""),
    ],
)
def test_workers_of_the_playbook_let_the_pages_ask(protection: list[str], lookups: list[str], origins: str) -> None:
    """Each lookup service's page may send photos to the workers, by its address in the inventory."""
    tasks = yaml.safe_load((DEPLOY / "ansible" / "roles" / "worker" / "tasks" / "main.yml").read_text())
    (template,) = [task["vars"]["usual"]["P2P_WORKER_CORS_ORIGIN"] for task in tasks if "usual" in task.get("vars", {})]
    addresses = {"l1": {"p2p_address": "10.0.0.21"}, "l2": {"p2p_address": "10.0.0.22"}}
    said = jinja2.Template(template).render(
        groups={"lookups": lookups} if lookups else {}, hostvars=addresses, p2p_protection=protection
    )
    assert said == origins
