"""`assay up`, a study started and cancelled as the UI does it, `assay down`."""

import json
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.flows.program import assay, processes_of
from tests.flows.small_study import PARAMS, SmallStudy
from tests.flows.test_cli import verdict

pytestmark = pytest.mark.slow


@pytest.fixture
def ports(study: SmallStudy) -> Iterator[dict[str, str]]:
    """Free ports for the three servers; whatever is up in the end is ended."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    names = ("ASSAY_PREFECT_PORT", "ASSAY_MLFLOW_PORT", "ASSAY_REPORT_PORT")
    ports = {name: str(server.getsockname()[1]) for name, server in zip(names, sockets, strict=True)}
    for server in sockets:
        server.close()
    yield ports
    assay("down", **ports)
    assert not processes_of(study.folder)


def test_up_a_study_from_the_ui_cancel_and_down(study: SmallStudy, ports: dict[str, str]):
    done = assay("up", **ports)
    assert done.returncode == 0, done.stderr
    Path("params.yaml").write_text(yaml.safe_dump(PARAMS | {"seed": 0}))
    again = assay("up", **ports)
    assert again.stdout == done.stdout
    server = Prefect(ports["ASSAY_PREFECT_PORT"])
    (deployment,) = server.post("deployments/filter", {})
    assert deployment["parameter_openapi_schema"]["properties"]["params"]["default"] == PARAMS | {"seed": 0}, "the form is up to date"

    write = "mkdir -p results/fit report; echo page > report/index.html; cp verdict.json results/fit"
    (study.folder / "verdict.json").write_text(json.dumps(verdict("raw wins.")))
    study.write_stages({"left": 0.0, "right": 0.0}, last={"cmd": f"python work.py last 0 data/last data/all; {write}"})
    with pytest.raises(urllib.error.HTTPError, match="409"):
        server.start_study(params=PARAMS | {"target": PARAMS["target"] | {"confidence": 2}})
    run = server.start_study(params=PARAMS | {"mixtures": {"m": {"recipe": "raw", "weights": {"d": 0.9}}}})
    assert server.wait(run, "FAILED")["message"] == "the form: mixtures.m: weights sum to 0.9, not to 1."
    assert not study.ran()

    run = server.start_study(params=PARAMS)
    assert server.wait(run, "COMPLETED")["message"] == "6 stages ran, 0 were up to date."
    assert "up to date" in study.dvc("status")

    artifacts = {artifact["key"]: artifact["data"] for artifact in server.post("artifacts/filter", {})}
    assert artifacts["progress"] == 100 and {row["state"] for row in json.loads(artifacts["stages"])} == {"done"}
    report = f"http://127.0.0.1:{ports['ASSAY_REPORT_PORT']}/"
    assert "raw wins." in artifacts["verdict"] and report in artifacts["verdict"]
    assert urllib.request.urlopen(report).read() == b"page\n"
    assert f"http://127.0.0.1:{ports['ASSAY_MLFLOW_PORT']}" in artifacts["verdict"]

    # the terminal's runs are in the same UI
    assert assay("run", **ports).returncode == 0
    assert len(server.post("flow_runs/filter", {})) == 3

    study.ran()
    study.write_stages(
        {"left": 300.0, "right": 0.0}, each={"cmd": "setsid sleep 300 & python work.py each@${key} ${item} data/each/${key} data/first"}
    )
    run = server.start_study()
    wait_for(lambda: study.ran() == ["each@right"])
    server.post(f"flow_runs/{run}/set_state", {"state": {"type": "CANCELLING"}})
    server.wait(run, "CANCELLED")
    assert not [command for command in processes_of(study.folder) if "sleep" in command or "work.py" in command]
    tasks_of_run = {"flow_runs": {"id": {"any_": [run]}}}  # Prefect takes note of them by and by
    wait_for(lambda: {task["name"]: task["state"]["name"] for task in server.post("task_runs/filter", tasks_of_run)}.get("each@left") == "Cancelled")

    assert assay("down", **ports).stdout == "Ended: worker, report, mlflow, prefect.\n"
    assert not processes_of(study.folder)


def test_a_port_in_use_is_told_and_nothing_is_left(study: SmallStudy, ports: dict[str, str]):
    with socket.create_server(("127.0.0.1", int(ports["ASSAY_MLFLOW_PORT"]))):
        done = assay("up", **ports)
    assert done.returncode == 2
    assert done.stderr.startswith(f"assay: Port {ports['ASSAY_MLFLOW_PORT']}, where MLflow's server would listen, is in use")
    assert "ASSAY_MLFLOW_PORT" in done.stderr and done.stderr.count("\n") == 1
    assert not processes_of(study.folder)


class Prefect:
    """The API, called as the UI calls it."""

    def __init__(self, port: str):
        self.url = f"http://127.0.0.1:{port}/api"

    def post(self, path: str, body: dict[str, Any]) -> Any:
        request = urllib.request.Request(f"{self.url}/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"})
        return self.answer_to(request)

    def answer_to(self, request: urllib.request.Request | str) -> Any:
        """503 is what Prefect says while SQLite is locked: its own clients try again."""
        deadline = time.monotonic() + 60
        while True:
            try:
                with urllib.request.urlopen(request) as answer:
                    return json.load(answer)
            except urllib.error.HTTPError as error:
                if error.code != 503 or time.monotonic() > deadline:
                    raise
            time.sleep(1)

    def start_study(self, **parameters: Any) -> str:
        (deployment,) = self.post("deployments/filter", {})
        assert deployment["name"] == "study"
        return self.post(f"deployments/{deployment['id']}/create_flow_run", {"state": {"type": "SCHEDULED"}, "parameters": parameters})["id"]

    def wait(self, run: str, state: str) -> dict[str, Any]:
        """The state of a flow run when it is final, which must be of type `state`."""
        states: list[dict[str, Any]] = []

        def is_final() -> bool:
            states.append(self.answer_to(f"{self.url}/flow_runs/{run}")["state"])
            return states[-1]["type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")

        wait_for(is_final)
        assert states[-1]["type"] == state, states[-1]
        return states[-1]


def wait_for(condition, seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.3)
