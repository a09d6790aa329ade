import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mlflow import MlflowClient

from models.frozen import StudyError
from models.laws.core import Dropped
from tasks.tables import Table, read, select

HEADER, ROWS = "recipe,params,tokens,loss", ("a,1000000,20,3.5", "b,2000000,40,3.25", "c,n/a,60,3")


@pytest.fixture
def table(tmp_path) -> str:
    return written(tmp_path, *ROWS)


def written(folder, *rows: str, header: str = HEADER) -> str:
    path = folder / "runs.csv"
    path.write_text("\n".join([header, *rows, ""]))
    return str(path)


def test_expressions_over_columns_and_rows_in_their_order(table):
    found = select(table, {"C": "6 * params * tokens", "loss": "loss"}, labels={"name": "upper(recipe)"})
    assert found.columns["C"].tolist() == [1.2e8, 4.8e8]
    assert found.columns["loss"].tolist() == [3.5, 3.25] and found.columns["name"].tolist() == ["A", "B"]
    assert found.row_numbers.tolist() == [1, 2] and found.rows_read == 3


def test_text_among_numbers_is_dropped_and_counted(table):
    assert select(table, {"params": "params"}).dropped == (Dropped(1, "params is not a number: 'n/a' in row 3"),)
    assert select(table, {"N": "params / 2"}).dropped == (Dropped(1, "N = params / 2 is not a number: 'n/a' in row 3"),)


def test_missing_nan_and_infinite_numbers_are_dropped_apart(tmp_path):
    table = written(tmp_path, "a,1,,3", "b,1,nan,3", "c,1,inf,3", "d,1,7,3")
    assert [(one.count, one.reason) for one in select(table, {"tokens": "tokens"}).dropped] == [
        (1, "tokens is missing"),
        (1, "tokens is NaN"),
        (1, "tokens is infinite"),
    ]


def test_where_filters_and_says_so(table):
    found = select(table, {"loss": "loss"}, where="params > 1e6")
    assert found.columns["loss"].tolist() == [3.25]
    assert found.dropped == (Dropped(2, "where 'params > 1e6' does not hold"),)
    assert select(table, {"loss": "loss"}, where="params = 'n/a'").columns["loss"].tolist() == [3.0]


def test_a_column_name_as_it_stands_is_the_column(tmp_path):
    table = written(tmp_path, "1,2", header="Model Size,loss/pile")
    found = select(table, {"N": "Model Size", "loss": "loss/pile", "double": '2 * "loss/pile"'})
    assert {name: column.tolist() for name, column in found.columns.items()} == {"N": [1.0], "loss": [2.0], "double": [4.0]}


def test_large_integers_do_not_overflow(tmp_path):
    path = tmp_path / "runs.parquet"
    pq.write_table(pa.table({"N": [7_000_000_000], "D": [1_400_000_000_000]}), path)
    assert select(str(path), {"C": "6 * N * D"}).columns["C"][0] == pytest.approx(5.88e22)


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".parquet", ".jsonl", ".json", ".json.gz", ".ndjson"])
def test_every_format_gives_the_same(tmp_path, suffix):
    rows = [{"name": f"r{i}", "loss": 3 - i / 8, "x y": i} for i in range(5)]
    path = tmp_path / f"runs{suffix}"
    lines = ["name,loss,x y", *(",".join(map(str, row.values())) for row in rows)] if "csv" in suffix else map(json.dumps, rows)
    text = "\n".join(lines).encode()
    if suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_bytes(gzip.compress(text) if suffix.endswith(".gz") else text)
    assert {name: column.tolist() for name, column in read(str(path)).items()} == {
        "name": [f"r{i}" for i in range(5)],
        "loss": [3 - i / 8 for i in range(5)],
        "x y": [0.0, 1.0, 2.0, 3.0, 4.0],
    }


def test_json_fields_of_several_kinds(tmp_path):
    (path := tmp_path / "runs.jsonl").write_text('{"loss": 3.5, "m": {"x": 1}}\n{"loss": "diverged", "m": {"x": 2}}\n{"loss": NaN}\n')
    found = select(str(path), {"loss": "loss", "x": "m.x"})
    assert found.columns["x"].tolist() == [1.0]
    assert [one.reason for one in found.dropped] == ["loss is not a number: 'diverged' in row 2", "loss is NaN"]


def test_whole_columns_are_numbers_only_when_all_entries_are(table):
    columns = read(table, texts=("tokens",))
    assert columns["params"].tolist() == ["1000000", "2000000", "n/a"]
    assert columns["tokens"].tolist() == ["20", "40", "60"]
    assert columns["loss"].dtype == float and tuple(columns) == ("recipe", "params", "tokens", "loss")


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("los", r"no column 'los' in .*did you mean 'loss'"),
        ("recipe", r"recipe is not a number: 'a' in row 1"),
        ("params * recipe", "can't be computed"),
        ("loss; DROP TABLE texts", "not an SQL expression"),
        ("loss, tokens", "more than one"),
        ("1) FROM (SELECT 2", "more than one"),
        ("(SELECT count(*) FROM read_text('/etc/hostname'))", "subquery"),
        ("avg(loss)", "not of one row"),
        ("random()", "something else each time"),
        ("", "it is empty"),
    ],
)
def test_what_is_not_an_expression_over_a_row_is_refused(table, expression, words):
    with pytest.raises(StudyError, match=words):
        select(table, {"v" if expression != "recipe" else "recipe": expression})


def test_nothing_outside_the_table_can_be_reached(table, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with Table(table) as opened:
        for statement in (f"SELECT * FROM '{table}'", "COPY texts TO 'copy.csv'", "SET enable_external_access = true"):
            with pytest.raises(Exception, match=r"disabled|locked|Cannot"):
                opened._connection.execute(statement)
    assert [path.name for path in tmp_path.iterdir()] == ["runs.csv"]


def test_lines_of_different_lengths_are_refused(tmp_path):
    with pytest.raises(StudyError, match="as many fields as the header"):
        read(written(tmp_path, "a,1,2,3", "b,1"))


def test_other_separators_are_read_from_the_header(tmp_path):
    assert list(read(written(tmp_path, '"a, b";1', header="name;loss"))) == ["name", "loss"]


def test_files_that_are_no_tables(tmp_path, table):
    with pytest.raises(StudyError, match=r"no file .*did you mean 'runs.csv'"):
        read(table.replace("runs", "run"))
    with pytest.raises(StudyError, match="no rows"):
        read(written(tmp_path))
    (other := tmp_path / "runs.xlsx").write_text("")
    with pytest.raises(StudyError, match=r"none of \.csv"):
        read(str(other))


def test_evaluations_of_several_versions_are_not_compared(tmp_path):
    rows = ("a,x,accuracy,0.3,v1", "b,x,accuracy,0.4,v2", "a,y,accuracy,0.5,v3")
    source = written(tmp_path, *rows, header="recipe,benchmark,metric,value,version")
    with pytest.raises(StudyError, match=r"runs.csv: accuracy of x has versions v1 and v2, which can't be compared: choose one, as in --where"):
        select(source, {"value": "value"})
    assert len(select(source, {"value": "value"}, where="version <> 'v2'").row_numbers) == 2


def test_an_experiment_of_mlflow(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri := f"sqlite:///{tmp_path / 'mlflow.db'}")
    client = MlflowClient(uri)
    experiment = client.create_experiment("sweep", artifact_location=tmp_path.as_uri())
    parent = client.create_run(experiment).info.run_id
    for i in range(3):
        run = client.create_run(experiment, tags={"mlflow.parentRunId": parent}, start_time=1000 + i).info.run_id
        client.log_param(run, "num_params", str(10**i))
        client.log_param(run, "lr", "0.1")
        client.log_metric(run, "lr", 0.0)
        client.log_metric(run, "loss", 9.0, step=1)
        client.log_metric(run, "loss", 3.0 - i, step=2)
        client.set_terminated(run, "FINISHED" if i < 2 else "FAILED")
    found = select("mlflow:sweep", {"N": "num_params", "loss": "loss", "lr": "params.lr"})
    assert {name: column.tolist() for name, column in found.columns.items()} == {"N": [1.0, 10.0], "loss": [3.0, 2.0], "lr": [0.1, 0.1]}
    assert found.rows_read == 3 and found.dropped == (Dropped(1, "MLflow has the run as FAILED, not FINISHED"),)
    with pytest.raises(StudyError, match="did you mean 'sweep'"):
        read("mlflow:sweeps")


def test_without_a_store_of_mlflow_none_is_made(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    with pytest.raises(StudyError, match="no record of runs"):
        read("mlflow:sweep")
    assert not list(tmp_path.iterdir())
