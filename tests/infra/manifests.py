"""The Kubernetes manifests as kubectl's kustomize builds them."""

import subprocess
from functools import cache
from typing import Any

import yaml

from tests.infra.compose_file import INFRA, TOOLS

FOLDERS = ("base", "overlays/gpu", "overlays/dev")


@cache
def build(folder: str) -> list[dict[str, Any]]:
    """All resources of a kustomization."""
    done = subprocess.run([TOOLS / "kubectl", "kustomize", INFRA / "kubernetes" / folder], check=True, capture_output=True, text=True)
    return list(yaml.safe_load_all(done.stdout))


def workloads(folder: str) -> dict[str, dict[str, Any]]:
    """The pod template's spec of every workload, by its name."""
    return {item["metadata"]["name"]: item["spec"]["template"]["spec"] for item in build(folder) if "template" in item.get("spec", {})}


def containers(folder: str) -> list[dict[str, Any]]:
    return [its for pod in workloads(folder).values() for its in (*pod.get("initContainers", ()), *pod["containers"])]


def environment(folder: str, container: dict[str, Any], secret: dict[str, str]) -> dict[str, str]:
    """What a container's program finds in its environment when the Secret `assay` is `secret`."""
    maps = {item["metadata"]["name"]: item["data"] for item in build(folder) if item["kind"] == "ConfigMap"}
    found: dict[str, str] = {}
    for source in container.get("envFrom", ()):
        found |= maps[source["configMapRef"]["name"]]
    for variable in container["env"]:
        found[variable["name"]] = variable["value"] if "value" in variable else secret[variable["valueFrom"]["secretKeyRef"]["key"]]
    return found
