"""`assay plan`'s text where there is no terminal, and its JSON."""

import json

import pytest

from flows.cli import app
from flows.plan import duration, print_plan
from tasks.plan import plan_study
from tasks.study import load_study
from tests.flows.small_study import SmallStudy


def test_prints_plain_text(study: SmallStudy, capsys: pytest.CaptureFixture[str]):
    values = load_study().model_dump(by_alias=True)
    values["hardware"] |= {"price_per_gpu_hour": 2.5}
    print_plan(plan_study(type(load_study()).model_validate(values)))
    printed = capsys.readouterr().out
    rows = [line.split() for line in printed.splitlines() if line]
    assert printed.isascii() and "known when the recipes are tokenized" in printed
    assert ["runs", "4", "0"] in rows and ["time", "-", "-"] in rows and ["price", "(2", "x", "2.5", "an", "hour)", "-", "-"] in rows
    assert "Time on this machine is not known" in printed
    one, derived = [row for row in rows if row[0] == "100k"]
    assert (one[1], one[5], derived[1], derived[7]) == ("1x", "2", "1x", "1")


def test_prints_one_json_object(study: SmallStudy, capsys: pytest.CaptureFixture[str]):
    app(["plan", "--no-measure", "--json"], standalone_mode=False)
    plan = json.loads(capsys.readouterr().out)
    assert (plan["runs"], plan["seconds"], plan["price"], plan["trained"]["runs"]) == (4, None, None, 0)
    assert [rung["size"] for rung in plan["rungs"]] == ["30k", "100k"]


def test_durations_are_read_at_a_glance():
    assert [duration(seconds) for seconds in (None, 0.4, 61, 7_384_000)] == ["-", "0 min 00 s", "1 min 01 s", "2,051 h 06 min"]
