"""What infra's files say, read by the tools that they are for."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from infra.new_env import EXAMPLE, filled

PROJECT = Path(__file__).parents[2]
INFRA = PROJECT / "infra"
TOOLS = Path(sys.executable).parent  # docker-compose, kubectl, hadolint, shellcheck and weed come with the environment


def new_secrets() -> dict[str, str]:
    """What `infra/new_env.py` writes."""
    lines = [filled(line) for line in EXAMPLE.read_text().splitlines()]
    return dict(line.split("=", 1) for line in lines if not line.startswith("#"))


def compose(environment: Mapping[str, str]) -> dict[str, Any]:
    """The compose file as docker-compose reads it: checked against its schema, every variable filled in.

    Raises:
        CalledProcessError: with docker-compose's words on standard error.
    """
    command = [TOOLS / "docker-compose", "--env-file", os.devnull, "--file", INFRA / "compose.yaml", "--profile", "*", "config", "--format", "json"]
    done = subprocess.run(command, env={"PATH": os.defpath, **environment}, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def image_environment() -> dict[str, str]:
    """What ENV in the Dockerfile sets."""
    (block,) = re.findall(r"^ENV ((?:.*\\\n)*.*)$", (INFRA / "Dockerfile").read_text(), flags=re.MULTILINE)
    return dict(re.findall(r"(\w+)=(\S+)", block))
