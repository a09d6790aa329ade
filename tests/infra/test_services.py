"""What compose.yaml says is started without containers, on real Postgres and the S3 store of its image: who has no login is refused, a study runs."""

import json
import os
import subprocess
import sys

import pytest

from tests.flows.small_study import SmallStudy
from tests.infra.deployment import PROJECT, Deployment, status

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def deployment(tmp_path_factory):
    folder = tmp_path_factory.mktemp("deployment")
    (folder / "study").mkdir()
    SmallStudy(folder / "study")
    deployment = Deployment(folder, folder / "study")
    with deployment.running("postgres", "s3"):
        deployment.run("bucket")
        with deployment.running("prefect", "mlflow"):
            yield deployment


def test_prefect_wants_a_login(deployment):
    version = f"http://{deployment.address('prefect')}/api/admin/version"
    assert status(version) == 401
    assert status(f"http://{deployment.address('prefect')}/api/health") == 200
    assert status(version, login="assay:guessed") == 401
    assert status(version, login=deployment.secrets["PREFECT_API_AUTH_STRING"]) == 200


def test_mlflow_wants_a_login_and_a_known_host(deployment):
    runs = f"http://{deployment.address('mlflow')}/api/2.0/mlflow/experiments/search?max_results=10"
    login = f"{deployment.secrets['MLFLOW_TRACKING_USERNAME']}:{deployment.secrets['MLFLOW_TRACKING_PASSWORD']}"
    assert status(runs) == 401
    assert status(runs, login="assay:guessed") == 401
    assert status(runs, login) == 200
    assert status(runs, login, host="rebound.example") == 403
    assert status(f"http://{deployment.address('mlflow')}/", login, host="rebound.example") == 403


def test_the_store_wants_a_signature(deployment):
    assert status(f"http://{deployment.address('s3')}/assay/x") == 403


def test_a_study_runs_through_all_of_them(deployment):
    done = at_home(deployment, "-m", "flows.cli", "run")
    assert done.returncode == 0, done.stdout + done.stderr
    code = "from mlflow import MlflowClient as C; c = C(); print(*[r.info.artifact_uri for e in c.search_experiments() for r in c.search_runs([e.experiment_id])])"
    (artifacts,) = at_home(deployment, "-c", code).stdout.split()
    assert artifacts.startswith("mlflow-artifacts:/")
    stored = at_home(deployment, "-c", "from tasks.storage import list_objects; print(*[o.key for o in list_objects('s3://assay/mlflow')])")
    assert stored.stdout.split(), stored.stderr


def at_home(deployment, *arguments):
    """Python in the study's folder, with the environment of the person whose services these are."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MLFLOW_", "ASSAY_", "AWS_"))}
    environment = {**ours, "PYTHONPATH": str(PROJECT), **deployment.user_environment()}
    return subprocess.run([sys.executable, *arguments], cwd=deployment.study, env=environment, capture_output=True, text=True)
