import polars as pl
import pytest

from models.noise_floor import NoiseOfMetric
from tasks import layout
from tasks.evaluation_noise import noise_of_metrics
from tasks.run_directory import RunResult
from tests.tasks.fit_study import study, write_runs


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def measured(**factors: float) -> pl.DataFrame:
    write_runs(study(mixtures=tuple(factors)), factors)
    return pl.concat([pl.read_parquet(layout.EVALUATIONS / f"{mixture}.parquet") for mixture in factors])


def judged(evaluations: pl.DataFrame) -> dict[str, NoiseOfMetric]:
    runs = [RunResult.model_validate_json(path.read_bytes()) for path in sorted(layout.RUNS.glob("*/*/result.json"))]
    return {noise.benchmark: noise for noise in noise_of_metrics(evaluations, runs, confidence=0.9)}


def test_mixtures_far_apart_are_separated_on_every_domain_and_equal_ones_on_none():
    assert all(noise.separates for noise in judged(measured(raw=1.5, clean=1.0)).values())
    alike = judged(measured(a=1.0, b=1.0, c=1.0))
    assert alike.keys() == {"heldout/code", "heldout/legal"}
    assert not any(noise.separates for noise in alike.values())


def test_the_largest_scale_that_all_mixtures_have_decides():
    evaluations = measured(raw=1.5, clean=1.0)
    assert judged(evaluations)["heldout/code"].scale.startswith("300k, ")
    without = evaluations.filter((pl.col("mixture") == "raw") | (pl.col("size") != "300k"))
    assert judged(without)["heldout/code"].scale.startswith("100k, ")


def test_a_missing_value_leaves_out_its_seed_and_another_version_the_metric():
    evaluations = measured(raw=1.5, clean=1.0)
    a_value = (pl.col("run") == "300k-3x-seed2") & (pl.col("mixture") == "raw") & (pl.col("benchmark") == "heldout/code")
    unmeasured = evaluations.with_columns(value=pl.when(a_value).then(None).otherwise(pl.col("value")))
    noise = judged(unmeasured)["heldout/code"]
    assert (noise.num_seeds, noise.separates, noise.needs) == (1, None, "a second seed, without which noise is not known")
    reversioned = evaluations.with_columns(version=pl.when(a_value).then(pl.lit("v2")).otherwise(pl.col("version")))
    assert judged(reversioned).keys() == {"heldout/legal"}


def test_noise_between_checkpoints_is_told_where_there_are_snapshots():
    evaluations = measured(raw=1.5, clean=1.0)
    earlier = [
        evaluations.with_columns(checkpoint=pl.lit("snapshot"), tokens=pl.col("tokens") * share // 4, value=pl.col("value") + 0.1 * (4 - share))
        for share in (2, 3)
    ]
    assert judged(pl.concat([evaluations, *earlier]))["heldout/code"].checkpoint_sd == pytest.approx(0.0, abs=1e-12), "a straight line"
    earlier[1] = earlier[1].with_columns(value=pl.col("value") + 0.06)
    assert judged(pl.concat([evaluations, *earlier]))["heldout/code"].checkpoint_sd == pytest.approx(0.12 / 6**0.5)
