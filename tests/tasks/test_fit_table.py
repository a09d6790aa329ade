"""`assay fit` on tables as people have them."""

from pathlib import Path

import numpy as np
import pytest

from models.frozen import StudyError
from tasks.fit_request import FitRequest
from tasks.fit_table import TableFit, fit_table
from tests.tasks.tables_to_fit import COEFFICIENTS, MAPS, chinchilla_loss, chinchilla_runs, write

TARGET = "N=1e10,D=2e11"


def result_of(table: str, law: str = "chinchilla", maps: tuple[str, ...] = MAPS, bootstrap: int = 40, **asked) -> TableFit:
    return fit_table(FitRequest(law, table, maps, bootstrap=bootstrap, **asked)).result


@pytest.fixture
def runs(tmp_path) -> str:
    return write(tmp_path / "runs.csv", chinchilla_runs())


def test_known_coefficients_and_a_prediction_are_recovered(runs):
    found = result_of(runs, bootstrap=200, predict=(TARGET,))
    assert found.rows.model_dump() == {"read": 60, "used": 60, "dropped": ()}
    for name, truth in COEFFICIENTS.items():
        low, high = found.coefficients[name].low, found.coefficients[name].high
        assert low is not None and high is not None
        width = high - low
        assert low - width < truth < high + width
    (predicted,) = found.predictions
    assert predicted.value == pytest.approx(chinchilla_loss(1e10, 2e11), rel=0.01)
    assert predicted.low and predicted.high and predicted.low < predicted.value < predicted.high
    assert predicted.run and predicted.run.low and predicted.run.high and predicted.run.high - predicted.run.low > predicted.high - predicted.low


def test_the_order_of_rows_and_columns_does_not_matter(runs, tmp_path):
    columns = chinchilla_runs()
    order = np.random.default_rng(1).permutation(60)
    other = write(tmp_path / "other.csv", {name: columns[name][order] for name in reversed(columns)})
    assert result_of(runs, predict=(TARGET,)).model_dump() == result_of(other, predict=(TARGET,), maps=MAPS[::-1]).model_dump()


@pytest.mark.parametrize(
    ("law", "maps", "in_units", "point", "point_in_units"),
    [
        ("chinchilla", MAPS, ("N=params/1e6", "D=tokens/1e9", "loss=loss"), "N=1e10,D=2e11", "N=1e4,D=200"),
        ("power", ("D=tokens", "loss=loss"), ("D=tokens/1e9", "loss=loss"), "D=2e11", "D=200"),
    ],
)
def test_units_do_not_matter(runs, law, maps, in_units, point, point_in_units):
    here, there = (result_of(runs, law, m, predict=(p,)) for m, p in ((maps, point), (in_units, point_in_units)))
    for name in ("E", "alpha"):
        assert there.coefficients[name].value == pytest.approx(here.coefficients[name].value, rel=1e-3)
    assert there.predictions[0].value == pytest.approx(here.predictions[0].value, rel=1e-5)
    assert there.objective.value == pytest.approx(here.objective.value, rel=1e-6)


def test_inputs_that_follow_from_others_are_derived_and_noted(runs):
    by_tokens = result_of(runs, predict=(TARGET,))
    by_flops = result_of(runs, maps=("N=params", "C=6*params*tokens", "loss=loss"), predict=("N=1e10,C=1.2e22",))
    assert by_flops.predictions[0].value == pytest.approx(by_tokens.predictions[0].value, rel=1e-9)
    assert by_flops.notes == ("D = C / (6 N), as it is not mapped.",)


def test_what_is_dropped_is_counted_with_its_reason(tmp_path):
    columns = chinchilla_runs()
    loss = columns["loss"].astype(object)
    loss[:4] = ["nan", "diverged", "", "inf"]
    columns["params"][5], loss[7] = 0, -1.0
    table = write(tmp_path / "runs.csv", columns | {"loss": loss})
    found = result_of(table, where="tokens < 9e10", drop_highest_loss=2, holdout="params > 2e9")
    told = {one.reason.split(":")[0]: one.count for one in found.rows.dropped}
    assert found.holdout and found.rows.read == 60 == found.rows.used + found.holdout.rows + sum(told.values())
    for reason in ("loss is NaN", "loss is not a number", "loss is infinite", "N is not positive", "loss is not positive"):
        assert any(reason in one.replace("N = params", "N") for one in told), (reason, told)
    highest = next(one.reason for one in found.rows.dropped if one.reason.startswith("among the 2 highest"))
    kept = np.array([not isinstance(value, str) and value > 0 for value in loss]) & (columns["tokens"] < 9e10) & (columns["params"] > 0)
    assert f"{loss[kept].max():.4g}" in highest


def test_rows_set_aside_are_predicted_and_do_not_change_the_fit(runs, tmp_path):
    found = result_of(runs, holdout="params > 1e9", bootstrap=200)
    without = result_of(runs, where="params <= 1e9", bootstrap=200)
    assert found.coefficients == without.coefficients
    assert found.holdout and found.holdout.mean_relative_error and found.holdout.mean_relative_error < 0.02
    assert found.holdout.spearman and found.holdout.spearman > 0.9
    assert found.holdout.coverage is not None and found.holdout.coverage >= 0.6
    columns = chinchilla_runs()
    columns["loss"] *= np.where(columns["params"] > 1e9, 1.5, 1)
    changed = result_of(write(tmp_path / "changed.csv", columns), holdout="params > 1e9", bootstrap=200)
    assert changed.coefficients == found.coefficients
    assert changed.holdout and changed.holdout.coverage == 0 and changed.holdout.mean_relative_error == pytest.approx(1 / 3, abs=0.02)


def test_a_published_law_can_be_evaluated(runs):
    fixed = tuple(f"{name}={value}" for name, value in COEFFICIENTS.items() if name != "A")
    found = result_of(runs, fixed=(*fixed, "A=exp(ln(400))"), predict=(TARGET,))
    assert found.predictions[0].value == pytest.approx(chinchilla_loss(1e10, 2e11), rel=1e-12)
    assert found.coefficients["E"].model_dump() == {"value": 1.7, "low": 1.7, "high": 1.7}
    assert "given" in found.warnings[0]


def test_given_coefficients_stay_and_the_others_are_fitted(runs):
    found = result_of(runs, fixed=("alpha=0.34", "beta=0.36"), starts=("E=1.0",))
    assert found.coefficients["alpha"].value == found.coefficients["alpha"].low == 0.34
    assert found.coefficients["A"].value == pytest.approx(400, rel=0.05)
    assert found.coefficients["A"].low != found.coefficients["A"].high


def test_without_a_bootstrap_there_are_no_intervals(runs):
    found = result_of(runs, bootstrap=0, predict=(TARGET,), holdout="params > 1e9")
    assert found.coefficients["E"].low is None and found.predictions[0].low is None and found.predictions[0].run is None
    assert found.holdout and found.holdout.coverage is None


def test_the_bootstrap_draws_runs_whole(tmp_path):
    """Five copies of each run tell nothing new, when it is known that they are one run's."""
    columns = chinchilla_runs(40, noise=0.01)
    copies = {name: np.repeat(column, 5) for name, column in columns.items()} | {"run": np.repeat(np.arange(40), 5)}
    table = write(tmp_path / "copies.csv", copies)
    widths = []
    for path, cluster in ((write(tmp_path / "runs.csv", columns), None), (table, "run"), (table, None)):
        E = result_of(path, cluster=cluster, bootstrap=200).coefficients["E"]
        assert E.low and E.high
        widths.append(E.high - E.low)
    assert widths[1] == pytest.approx(widths[0], rel=0.4)
    assert widths[2] < 0.65 * widths[0]


def test_cells_whose_seeds_scatter_count_less(tmp_path):
    """The smaller half scatters twenty times more: weights that are measured there bring the fit nearer to the truth."""
    off = {True: [], False: []}
    for seed in range(4):
        random = np.random.default_rng(seed)
        params, tokens, seeds = (axis.ravel() for axis in np.meshgrid(np.geomspace(1e7, 2e9, 6), np.geomspace(1e9, 5e10, 4), np.arange(6.0)))
        noise = np.where(params * tokens < 2e18, 0.04, 0.002)
        loss = chinchilla_loss(params, tokens) * np.exp(noise * random.standard_normal(len(params)))
        table = write(tmp_path / f"{seed}.csv", {"params": params, "tokens": tokens, "seed": seeds, "loss": loss, "sd": noise * loss})
        for weighted in (True, False):
            found = result_of(table, seed_column="seed" if weighted else None, delta=0.05, bootstrap=0, predict=(TARGET,))
            off[weighted].append(abs(found.predictions[0].value / chinchilla_loss(1e10, 2e11) - 1))
        known = result_of(table, noise="sd", delta=0.05, bootstrap=0, predict=(TARGET,))
        assert known.predictions[0].value == pytest.approx(chinchilla_loss(1e10, 2e11), rel=0.01)
    assert np.mean(off[True]) < 0.6 * np.mean(off[False])


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"law": "chincilla"}, r"no law 'chincilla' \(did you mean 'chinchilla'\?\)"),
        ({"maps": ("N=params", "loss=loss")}, "D is not mapped .*any two of N, D, C, M"),
        ({"maps": (*MAPS, "batch=loss")}, "no input 'batch'"),
        ({"maps": ("N=parms", *MAPS[1:])}, r"no column 'parms'.*did you mean 'params'"),
        ({"maps": ("N", *MAPS[1:])}, "--map is 'N': it takes NAME=SQL"),
        ({"maps": (*MAPS, "N=tokens")}, "gives N twice"),
        ({"fixed": ("Alpha=0.3",)}, r"no coefficient 'Alpha' \(did you mean 'alpha'\?\)"),
        ({"fixed": ("alpha=5",)}, "alpha = 5 is outside of its bounds.*between 0 and 3"),
        ({"fixed": ("A=-1",)}, "A = -1 is outside of its bounds"),
        ({"starts": ("alpha=-0.1",)}, "alpha = -0.1 is outside of its bounds"),
        ({"fixed": ("alpha=few",)}, "'few' is not a number"),
        ({"fixed": ("alpha=.3",), "starts": ("alpha=.3",)}, "both by --fix and by --start"),
        ({"predict": ("N=1e9",)}, "does not say D"),
        ({"predict": ("N=1e9,D=-3",)}, "D = -3: it must be positive"),
        ({"predict": ("N=1e9,D=1e10,U=3",)}, "gives U"),
        ({"drop_highest_loss": 60}, "leaves none of the 60 rows"),
        ({"holdout": "params > 1e12"}, "--holdout 'params > 1e12' holds for none"),
        ({"holdout": "params > 0"}, "No row .* is left"),
        ({"where": "params > 1e12"}, "No row of .* can be used"),
        ({"weights": "w_*"}, "matches no column"),
        ({"weights": "par*"}, "not of the mixture"),
        ({"law": "joint"}, "name their columns, as with --weights"),
        ({"law": "power"}, "of one input, D, N are mapped"),
        ({"maps": ("N=1e9", *MAPS[1:])}, r"same N \(1e\+09\).*can't tell E, A and alpha apart"),
        ({"maps": (*MAPS[:2], "loss=3.1")}, "All 60 losses are equal"),
        ({"maps": (*MAPS[:2], "loss=3.1+1e-12*tokens/1e11")}, "All 60 losses are equal"),
        ({"maps": (*MAPS[:2], "loss='high'")}, "No row|not a number|can't be computed"),
        ({"where": "params < 1.05e7 or params > 3e9"}, "5 free parameters and only"),
        ({"law": "data-constrained", "maps": (*MAPS, "U=tokens*2")}, "say nothing about R_D.*--fix R_D=VALUE"),
    ],
)
def test_what_cannot_be_done_is_refused_in_a_sentence(runs, asked, message):
    with pytest.raises(StudyError, match=message) as refused:
        result_of(runs, **asked)
    assert "\n" not in str(refused.value)


def test_a_given_coefficient_makes_up_for_an_input_that_does_not_vary(tmp_path):
    columns = chinchilla_runs(noise=0.001)
    columns["loss"] *= chinchilla_loss(1e9, columns["tokens"]) / chinchilla_loss(columns["params"], columns["tokens"])
    columns["params"] = np.full(60, 1e9)
    found = result_of(write(tmp_path / "one_size.csv", columns), fixed=("A=400", "alpha=0.34"))
    assert found.coefficients["beta"].value == pytest.approx(0.36, abs=0.02)
    assert "All runs have the same N" in " ".join(found.warnings)


def test_two_rows_are_refused(tmp_path):
    with pytest.raises(StudyError, match="5 free parameters and only 2 usable rows"):
        result_of(write(tmp_path / "two.csv", chinchilla_runs(2)))


def test_two_sizes_are_fitted_with_a_warning(tmp_path):
    columns = chinchilla_runs()
    columns["params"] = np.where(columns["params"] > 2e8, 1e9, 1e8)
    columns["loss"] = chinchilla_loss(columns["params"], columns["tokens"]) * (1 + 0.002 * np.sin(np.arange(60)))
    found = result_of(write(tmp_path / "two_sizes.csv", columns))
    assert "only 2 values of N" in " ".join(found.warnings)


def test_a_coefficient_that_the_draws_do_not_hold_is_named(tmp_path):
    """Few repetitions say little about how fast repeated tokens lose their worth."""
    random = np.random.default_rng(0)
    columns = chinchilla_runs(80, noise=0.01)
    columns["unique"] = columns["tokens"] / random.choice([1.0, 1.2, 1.5], 80)
    found = result_of(
        write(tmp_path / "few_epochs.csv", columns), "data-constrained", (*MAPS, "U=unique"), bootstrap=60, fixed=("alpha=0.34", "beta=0.36", "R_N=5")
    )
    assert any(warning.startswith(("R_D is hardly known", "R_D has reached", "R_D lies")) for warning in found.warnings)


def test_sizes_and_tokens_in_a_fixed_ratio_are_told_to_be_one_input(tmp_path):
    columns = chinchilla_runs()
    columns["tokens"] = 20 * columns["params"]
    columns["loss"] = chinchilla_loss(columns["params"], columns["tokens"]) * (1 + 0.002 * np.sin(np.arange(60)))
    table = write(tmp_path / "one_ratio.csv", columns)
    assert "N and D vary together in all runs" in " ".join(result_of(table).warnings)
    with pytest.raises(StudyError, match="same M"):
        result_of(table, law="overtraining")


def test_diverged_runs_are_dropped_where_others_show_it_and_told_where_not(tmp_path):
    columns = {name: np.repeat(column, 3) for name, column in chinchilla_runs(30).items()}
    columns["loss"] = np.where(np.arange(90) % 3 == 1, 11.0, columns["loss"])
    table = write(tmp_path / "diverged.csv", columns)
    found = result_of(table)
    (dropped,) = found.rows.dropped
    assert dropped.count == 30 and "more than 50% above the best run of the same N, D (diverged): row 2, 5" in dropped.reason
    assert found.coefficients["alpha"].value == pytest.approx(0.34, abs=0.03)
    by_size = result_of(table, law="power", maps=("N=params", "loss=loss"))
    assert by_size.rows.used == 90 and "30 rows lie more than 50% above the law" in " ".join(by_size.warnings)


@pytest.mark.slow
@pytest.mark.parametrize(("rows", "noise"), [(40, 0.005), (100, 0.01)])
def test_intervals_hold_what_they_say(tmp_path: Path, rows, noise):
    """Over 100 studies: 90% intervals of a coefficient and of a prediction at three times the largest size. Four standard errors are 12%."""
    studies, inside = 100, {"E": 0, "alpha": 0, "beta": 0, "prediction": 0}
    truth = COEFFICIENTS | {"prediction": float(chinchilla_loss(1e10, 2e11))}
    for seed in range(studies):
        found = result_of(write(tmp_path / f"{seed}.csv", chinchilla_runs(rows, noise, seed)), bootstrap=200, predict=(TARGET,))
        for name in inside:
            it = found.predictions[0] if name == "prediction" else found.coefficients[name]
            assert it.low is not None and it.high is not None
            inside[name] += it.low <= truth[name] <= it.high
    assert all(0.78 <= count / studies <= 1.0 for count in inside.values()), inside
    assert 0.85 <= np.mean(list(inside.values())) / studies <= 0.975, inside
