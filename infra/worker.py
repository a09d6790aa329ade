"""A worker for the study in this folder: registers the deployment `study` with the server at PREFECT_API_URL, and runs Prefect's worker.

    python infra/worker.py POOL

Prefect's server is asked until it answers: a worker may be started before it.
"""

import os
import sys
import time

from flows import environment, services
from flows.commands import LEASH
from models.frozen import StudyError
from tasks.stage import errors_in_words

PATIENCE_SECONDS = 120.0


def main() -> None:
    with errors_in_words():
        url = os.environ.get("PREFECT_API_URL")
        if len(sys.argv) != 2 or not url:
            raise StudyError("A worker needs a pool and a server: PREFECT_API_URL=http://host:4200/api python infra/worker.py POOL.")
        wait_for_server(url)
        environment.prepare()
        from flows.deployments import register_study  # it imports Prefect, which reads the environment

        register_study(pool := sys.argv[1])
    # on a leash: Prefect's worker does not always end when it is told to
    os.execv(LEASH[0], [*LEASH, sys.executable, "-m", "prefect", "worker", "start", "--pool", pool, "--type", "process"])


def wait_for_server(url: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not services.answers(f"{url}/health"):
        if time.monotonic() > deadline:
            raise StudyError(f"The Prefect server at PREFECT_API_URL={url} does not answer: start it, or correct the address.")
        time.sleep(1)


if __name__ == "__main__":
    main()
