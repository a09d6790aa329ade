"""The Dockerfile without a container engine: hadolint reads it, what it copies and calls exists, its settings are those of `assay up`."""

import re
import subprocess
import sys

import pytest

from flows.environment import SETTINGS
from tests.infra.compose_file import INFRA, PROJECT, TOOLS, compose, image_environment, new_secrets

DOCKERFILE = (INFRA / "Dockerfile").read_text()
SERVICES = compose(new_secrets())["services"]
OURS = sorted(name for name, service in SERVICES.items() if service["image"].startswith("assay:"))


def test_hadolint_has_nothing_to_say():
    done = subprocess.run([TOOLS / "hadolint", INFRA / "Dockerfile"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_what_is_copied_exists_and_holds_no_code():
    (copied,) = re.findall(r"^COPY (.+) \./$", DOCKERFILE, flags=re.MULTILINE)
    assert copied.split() == ["pyproject.toml", "README.md", "requirements.lock"]
    assert all((PROJECT / name).is_file() for name in copied.split())


def test_it_is_the_python_that_the_project_asks_for():
    (image,) = re.findall(r"^FROM (\S+)$", DOCKERFILE, flags=re.MULTILINE)
    assert re.fullmatch(r"python:3\.11\.\d+-slim-bookworm(@sha256:[0-9a-f]{64})?", image)
    assert image.split(":")[1].startswith(f"{sys.version_info.major}.{sys.version_info.minor}.")


def test_it_runs_as_nobody_in_particular_under_an_init():
    assert DOCKERFILE.rindex("\nUSER 1000\n") < DOCKERFILE.index('ENTRYPOINT ["tini", "-g", "--"]')


def test_its_settings_are_those_of_assay_up():
    assert SETTINGS.items() <= image_environment().items()


@pytest.mark.parametrize("name", OURS)
def test_what_a_service_calls_can_be_called(name):
    program, *arguments = SERVICES[name]["command"]
    assert (TOOLS / program).exists()
    if arguments[0] == "-c":
        compile(arguments[1], name, "exec")
    elif program == "python" and arguments[0] != "-m":
        assert (PROJECT / arguments[0]).is_file()
