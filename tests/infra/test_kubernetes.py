"""kubectl builds the manifests, Kubernetes' schemas accept them, and they say what compose.yaml says."""

import re
import shutil

import kubernetes_validate
import pytest

from tests.infra.compose_file import INFRA, compose, new_secrets
from tests.infra.manifests import FOLDERS, build, containers, environment, workloads

SECRETS = new_secrets()
COMPOSE = compose(SECRETS)["services"]


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_schemas_accept_every_resource(folder):
    resources = build(folder)
    assert len(resources) > 15
    for resource in resources:
        kubernetes_validate.validate(resource, "1.37", strict=True)


def test_the_schemas_refuse_a_misspelt_key():
    (policy,) = [item for item in build("base") if item["metadata"]["name"] == "s3" and item["kind"] == "NetworkPolicy"]
    with pytest.raises(kubernetes_validate.ValidationError, match="ingres"):
        kubernetes_validate.validate({**policy, "spec": {**policy["spec"], "ingres": []}}, "1.37", strict=True)


@pytest.mark.parametrize("name", ["postgres", "s3", "prefect", "mlflow", "worker"])
def test_a_service_runs_as_in_compose(name):
    """Same image, same words, same settings: what is tested of the one holds of the other."""
    (container,) = workloads("base")[name]["containers"]
    assert container["image"] == COMPOSE[name]["image"]
    assert container.get("args") == COMPOSE[name].get("command")
    assert environment("base", container, SECRETS) == COMPOSE[name]["environment"]


@pytest.mark.parametrize("name", ["prefect", "mlflow", "s3"])
def test_a_service_is_asked_for_its_health_as_in_compose(name):
    (container,) = workloads("base")[name]["containers"]
    asked = container["readinessProbe"]["httpGet"]
    assert COMPOSE[name]["healthcheck"]["test"][-1] == f"http://127.0.0.1:{asked['port']}{asked['path']}"
    assert container["livenessProbe"]["httpGet"] == asked


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_container_is_root_or_can_become_it(folder):
    for pod in workloads(folder).values():
        rights = pod["securityContext"]
        assert rights["runAsNonRoot"] and rights["runAsUser"] > 0 and rights["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False and pod["enableServiceLinks"] is False
    for container in containers(folder):
        rights = container["securityContext"]
        assert rights == {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}


@pytest.mark.parametrize("folder", FOLDERS)
def test_containers_say_what_they_need_and_images_are_pinned(folder):
    for container in containers(folder):
        assert {"cpu", "memory"} <= set(container["resources"]["requests"]) and "memory" in container["resources"]["limits"]
        assert re.fullmatch(r"[a-z/]+:\d+\.\d+[-.\w]*(@sha256:[0-9a-f]{64})?", container["image"])


@pytest.mark.parametrize("folder", FOLDERS)
def test_what_is_mounted_exists(folder):
    maps = {item["metadata"]["name"]: item["data"] for item in build(folder) if item["kind"] == "ConfigMap"}
    claims = {item["metadata"]["name"]: item["spec"].get("volumeClaimTemplates", ()) for item in build(folder) if item["kind"] == "StatefulSet"}
    for name, pod in workloads(folder).items():
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        claimed = {claim["metadata"]["name"] for claim in claims.get(name, ())}
        for container in (*pod.get("initContainers", ()), *pod["containers"]):
            for mount in container["volumeMounts"]:
                assert mount["name"] in volumes.keys() | claimed
                if source := volumes.get(mount["name"], {}).get("configMap"):
                    assert mount["subPath"] in maps[source["name"]]


def test_no_secret_is_made_here():
    assert not [item for item in build("base") if item["kind"] == "Secret"]
    variables = [variable for container in containers("base") for variable in container["env"]]
    referred = {variable["valueFrom"]["secretKeyRef"]["key"] for variable in variables if "valueFrom" in variable}
    assert referred <= SECRETS.keys()
    secret = [variable for variable in variables if re.search("PASSWORD|SECRET|AUTH_STRING", variable["name"])]
    assert len(secret) > 8 and all("valueFrom" in variable for variable in secret)


def settings(name):
    """All values in the environment of a workload's containers."""
    pod = workloads("base")[name]
    return " ".join(value for its in (*pod.get("initContainers", ()), *pod["containers"]) for value in environment("base", its, SECRETS).values())


def test_only_those_who_need_a_service_reach_it():
    """By the addresses in the environment of each."""
    policies = {item["metadata"]["name"]: item["spec"] for item in build("base") if item["kind"] == "NetworkPolicy"}
    ports = {item["metadata"]["name"]: item["spec"]["ports"][0]["port"] for item in build("base") if item["kind"] == "Service"}
    assert policies.pop("nobody") == {"podSelector": {}, "policyTypes": ["Ingress"]}
    assert policies.keys() == ports.keys()
    for service, port in ports.items():
        (rule,) = policies[service]["ingress"]
        assert rule["ports"] == [{"port": port}]
        (selector,) = [its["podSelector"] for its in rule["from"]]
        allowed = selector.get("matchLabels", {}).values() or selector["matchExpressions"][0]["values"]
        spoken_to = rf"//{service}:{port}|(?<!\S){service}(?!\S)"
        assert set(allowed) == {name for name in workloads("base") if name != service and re.search(spoken_to, settings(name))}


def test_the_gpu_overlay_asks_for_gpus():
    (worker,) = workloads("overlays/gpu")["worker"]["containers"]
    assert worker["resources"]["limits"]["nvidia.com/gpu"] == 4
    assert worker["args"] == COMPOSE["gpu-worker"]["command"]


def test_the_readmes_overlay_moves_the_image_and_names_the_study(tmp_path):
    (overlay,) = re.findall(r"```yaml\n(.*?)```", (INFRA / "README.md").read_text(), flags=re.DOTALL)
    for folder in ("config", "kubernetes"):
        shutil.copytree(INFRA / folder, tmp_path / folder)
    ours = tmp_path / "kubernetes/overlays/ours"
    ours.mkdir()
    (ours / "kustomization.yaml").write_text(overlay)
    pod = workloads(str(ours))["worker"]
    assert {its["image"] for its in (*pod["initContainers"], *pod["containers"])} == {"registry.example.org/assay:0.1.0"}
    cloned = environment(str(ours), pod["initContainers"][0], SECRETS)
    assert (cloned["STUDY_REPOSITORY"], cloned["STUDY_REVISION"]) == ("https://git.example.org/study.git", "main")
