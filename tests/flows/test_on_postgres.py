"""Prefect's server on Postgres: by settings alone."""

import psycopg
import pytest

from tests.flows.program import assay, processes_of
from tests.flows.small_study import SmallStudy
from tests.postgres import create_database

pytestmark = pytest.mark.slow


def test_a_study_runs_with_prefect_on_postgres(study: SmallStudy, postgres):
    url = create_database(postgres, "prefect")
    done = assay("run", PREFECT_API_DATABASE_CONNECTION_URL=url.replace("postgresql", "postgresql+asyncpg", 1))
    assert done.returncode == 0, done.stderr
    assert sorted(study.ran()) == ["all", "alone", "each@left", "each@right", "first", "last"]
    assert not processes_of(study.folder)
    with psycopg.connect(url) as database:
        assert database.execute("select name, state_name from task_run where name = 'last'").fetchall() == [("last", "Completed")]
        assert database.execute("select state_name from flow_run").fetchall() == [("Completed",)]
    assert not (study.folder / ".assay/prefect/prefect.db").exists()
