import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from flows.cli import app
from models.frozen import StudyError
from tests.tasks.tables_to_fit import MAPS, chinchilla_runs, write

MAPPED = [word for one in MAPS for word in ("--map", one)]


@pytest.fixture
def table(tmp_path) -> str:
    return write(tmp_path / "runs.csv", chinchilla_runs())


def assay(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "flows.cli", "fit", *words], capture_output=True, text=True)


def test_one_json_object_and_nothing_else(table):
    done = assay("chinchilla", table, *MAPPED, "--bootstrap", "20", "--holdout", "params > 1e9", "--predict", "N=6.9e9,D=1.38e11", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout, parse_constant=pytest.fail)
    assert {"law", "rows", "coefficients", "objective", "metrics", "holdout", "predictions", "warnings"} <= found.keys()
    assert found["rows"].keys() == {"read", "used", "dropped"}
    assert found["coefficients"]["alpha"].keys() == {"value", "low", "high"}
    assert found["objective"].keys() == {"name", "value"}
    assert found["predictions"][0]["inputs"] == {"N": 6.9e9, "D": 1.38e11}
    assert found["metrics"]["mean_relative_error"] < 0.01
    assert {"rows", "mean_relative_error", "spearman", "coverage"} <= found["holdout"].keys()


def test_a_mistake_is_a_sentence_on_standard_error_and_exit_code_2(table):
    done = assay("chinchila", table, *MAPPED, "--json")
    assert done.returncode == 2 and done.stdout == ""
    assert "did you mean 'chinchilla'?" in done.stderr and "Traceback" not in done.stderr


def test_a_readable_page_says_equation_source_and_rows(table):
    done = CliRunner().invoke(app, ["fit", "chinchilla", table, *MAPPED, "--bootstrap", "20", "--drop-highest-loss", "2"], catch_exceptions=False)
    assert done.exit_code == 0
    words = " ".join(done.stdout.split())
    for said in ("L(N, D) = E + A N^-alpha + B D^-beta", "2203.15556", "58 of 60 rows", "among the 2 highest losses", "alpha", "mean_relative_error"):
        assert said in words


@pytest.mark.parametrize(("law", "maps"), [("chinchilla", MAPPED), ("power", ["--map", "D=tokens", "--map", "loss=loss"])])
def test_the_fit_can_be_drawn(table, tmp_path, law, maps):
    picture = tmp_path / "fit.svg"
    done = CliRunner().invoke(app, ["fit", law, table, *maps, "--bootstrap", "10", "--plot", str(picture), "--json"], catch_exceptions=False)
    assert json.loads(done.stdout)["law"] == law
    assert picture.stat().st_size > 10_000


def test_a_picture_of_another_kind_is_refused(table, tmp_path):
    with pytest.raises(StudyError, match="its ending must be one of"):
        CliRunner().invoke(
            app, ["fit", "power", table, "--map", "D=tokens", "--map", "loss=loss", "--plot", str(tmp_path / "x.doc")], catch_exceptions=False
        )
