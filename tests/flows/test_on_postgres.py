"""Prefect's server on Postgres: by settings alone."""

import psycopg
import pytest

from tests.flows.program import assay, processes_of
from tests.flows.small_study import SmallStudy

pytestmark = pytest.mark.slow


def test_a_study_runs_with_prefect_on_postgres(study: SmallStudy, postgres):
    address = postgres.create_database("prefect")
    done = assay("run", PREFECT_API_DATABASE_CONNECTION_URL=f"postgresql+asyncpg{address}")
    assert done.returncode == 0, done.stderr
    assert sorted(study.ran()) == ["all", "alone", "each@left", "each@right", "first", "last"]
    assert not processes_of(study.folder)
    with psycopg.connect(f"postgresql{address}") as database:
        assert database.execute("select name, state_name from task_run where name = 'last'").fetchall() == [("last", "Completed")]
        assert database.execute("select state_name from flow_run").fetchall() == [("Completed",)]
    assert not (study.folder / ".assay/prefect/prefect.db").exists()
