import json

import pytest
from typer.testing import CliRunner

from flows.cli import app
from models.frozen import StudyError

ASKED = ["--recipe", "data", "--scale", "params", "--score", "loss", "--small", "4M", "--large", "1B"]


@pytest.fixture
def table(tmp_path) -> str:
    (path := tmp_path / "scores.csv").write_text("data,params,loss\nweb,4M,4.0\ncode,4M,4.2\nlaw,4M,4.1\nweb,1B,3.0\ncode,1B,3.2\nlaw,1B,3.3\n")
    return str(path)


def test_one_json_object_and_nothing_else(table):
    done = CliRunner().invoke(app, ["rank", table, *ASKED, "--json"], catch_exceptions=False)
    assert done.exit_code == 0 and not done.stderr
    found = json.loads(done.stdout)
    assert {"recipes", "pairs", "decision_accuracy", "spearman", "pearson", "top1_regret"} <= found.keys()
    assert found["decision_accuracy"]["value"] == pytest.approx(2 / 3) and found["pairs"] == 3


def test_a_readable_table_and_a_picture(table, tmp_path):
    done = CliRunner().invoke(app, ["rank", table, *ASKED, "--plot", str(tmp_path / "scores.svg")], catch_exceptions=False)
    assert "accuracy 0.667" in done.stdout and "web" in done.stdout
    assert "decision accuracy" in (tmp_path / "scores.svg").read_text() or (tmp_path / "scores.svg").stat().st_size > 5000


def test_a_picture_of_another_kind_is_refused(table, tmp_path):
    with pytest.raises(StudyError, match="its ending must be one of"):
        CliRunner().invoke(app, ["rank", table, *ASKED, "--plot", str(tmp_path / "scores.doc")], catch_exceptions=False)
