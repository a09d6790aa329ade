"""Writes an environment file with new secrets, readable by its owner only, from `.env.example`.

python infra/new_env.py ~/.assay.env
"""

import os
import secrets
import sys
from pathlib import Path

EXAMPLE = Path(__file__).with_name(".env.example")
NAMES = {"MLFLOW_TRACKING_USERNAME": "assay", "AWS_ACCESS_KEY_ID": "assay"}


def filled(line: str) -> str:
    """A line of the example; a setting without a value gets one."""
    name, assigns, value = line.partition("=")
    if line.startswith("#") or not assigns or value:
        return line
    secret = secrets.token_urlsafe(24)
    return f"{name}={NAMES.get(name) or (f'assay:{secret}' if name == 'PREFECT_API_AUTH_STRING' else secret)}"


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    try:
        descriptor = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode=0o600)
    except FileExistsError:
        sys.exit(f"{sys.argv[1]} exists, and its secrets may be in use: remove it, or name another file.")
    with os.fdopen(descriptor, "w") as file:
        file.writelines(f"{filled(line)}\n" for line in EXAMPLE.read_text().splitlines())


if __name__ == "__main__":
    main()
