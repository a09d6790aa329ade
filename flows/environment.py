"""Where Prefect and MLflow keep their state and where they listen: settings of their own, set before they are imported.

All is inside the study's `.assay/`; nothing of the user's home is read or written. What the user has set stays: a Prefect or MLflow server
elsewhere is used when PREFECT_API_URL or MLFLOW_TRACKING_URI says so.
"""

import os

from models.frozen import StudyError
from tasks.layout import LOCAL

HOST = "127.0.0.1"
DEFAULT_PORTS = {"ASSAY_PREFECT_PORT": 4200, "ASSAY_MLFLOW_PORT": 5000, "ASSAY_REPORT_PORT": 4201}
PREFECT_HOME = LOCAL / "prefect"
AT_WORK = LOCAL / "flow_run.json"  # the flow run that holds the study's lock, and `clock_watch.boot_time` when it began

SETTINGS = {
    "DO_NOT_TRACK": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # eight processes that only generative-AI features use
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",  # else a restart forgets who holds slots
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    "PREFECT_SERVER_UI_API_URL": "/api",  # on the port where the page came from; Prefect's default is 4200 whatever the port
    "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
    "PREFECT_WORKER_QUERY_SECONDS": "2",  # from the Run button to the start
    "PREFECT_CLI_PROMPT": "false",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
}


def prepare() -> None:
    """Sets what is not set. To be called before Prefect is imported."""
    home = PREFECT_HOME.resolve()
    home.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("PREFECT_HOME", str(home))
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)


def port(variable: str) -> int:
    """The port that an environment variable asks for.

    Raises:
        StudyError: when it is not one.
    """
    text = os.environ.get(variable) or str(DEFAULT_PORTS[variable])
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 65536:
        raise StudyError(f"{variable} is '{text}', which is no port: set it to a number from 1 to 65535.")
    return int(text)


def report_url() -> str:
    return f"http://{HOST}:{port('ASSAY_REPORT_PORT')}/"


def mlflow_url() -> str:
    """Where a browser finds the record of runs."""
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    return uri if uri.startswith("http") else f"http://{HOST}:{port('ASSAY_MLFLOW_PORT')}"
