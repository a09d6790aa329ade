from dataclasses import replace

import numpy as np
import pytest

from models.frozen import StudyError
from models.laws.chinchilla import Chinchilla
from models.laws.core import Problem, bootstrap, fit, refits, resampled_counts, usable_rows
from models.laws.power import Power


def power_data(rows: int = 40, noise: float = 0.0) -> tuple[dict[str, np.ndarray], np.ndarray]:
    random = np.random.default_rng(3)
    x = np.geomspace(1e3, 1e7, rows)
    return {"compute": x}, (1.5 + 30 * x**-0.3) * np.exp(noise * random.standard_normal(rows))


def test_rows_that_have_no_logarithm_are_dropped_with_the_reason():
    usable, dropped = usable_rows({"loss": np.array([1.0, np.nan, -1.0, 2.0, np.inf]), "D": np.array([1.0, 1.0, 1.0, 0.0, np.nan])})
    assert usable.tolist() == [True, False, False, False, False]
    assert [(row.count, row.reason) for row in dropped] == [(2, "loss is not finite"), (1, "loss is not positive"), (1, "D is not positive")]


def test_fewer_rows_than_parameters_are_refused():
    inputs, loss = power_data(3)
    with pytest.raises(StudyError, match="3 free parameters and only 3 usable rows"):
        fit(Problem.of(Power("compute"), inputs, loss))


def test_equal_losses_are_refused():
    inputs, loss = power_data()
    with pytest.raises(StudyError, match="All 40 losses are equal"):
        fit(Problem.of(Power("compute"), inputs, np.full_like(loss, 2.5)))


def test_the_gradient_of_the_objective_is_exact():
    inputs, loss = power_data(noise=0.01)
    problem = Problem.of(Power("compute"), inputs, loss, delta=0.005)
    problem = replace(problem, prior_mean=np.array([0.3, 2.0, -1.0]), prior_precision=np.array([0.1, 0.0, 0.2]))
    u = np.array([0.3, 3.0, -2.2])
    _, gradient = problem.objective(u)
    numeric = [(problem.objective(u + step)[0] - problem.objective(u - step)[0]) / 2e-6 for step in 1e-6 * np.eye(3)]
    assert gradient == pytest.approx(numeric, rel=1e-5)


def test_a_few_wild_rows_do_not_move_the_fit():
    inputs, loss = power_data(noise=0.001)
    wild = loss.copy()
    wild[[4, 20]] *= 1.5
    clean, robust = (fit(Problem.of(Power("compute"), inputs, y)).coefficients for y in (loss, wild))
    assert robust["alpha"] == pytest.approx(clean["alpha"], abs=0.01)


def test_weights_are_repetitions():
    inputs, loss = power_data(noise=0.01)
    counts = np.arange(len(loss)) % 3
    weighted = fit(Problem.of(Power("compute"), inputs, loss, weights=counts.astype(float), delta=0.01))
    repeated = fit(Problem.of(Power("compute"), {"compute": np.repeat(inputs["compute"], counts)}, np.repeat(loss, counts), delta=0.01))
    assert weighted.values == pytest.approx(repeated.values, rel=1e-5)


def test_a_prior_decides_what_the_data_do_not():
    inputs, loss = power_data(12, noise=0.02)
    law = Power("compute")
    law.parameters = (*law.parameters[:2], replace(law.parameters[2], prior=(-2.0, 1e-3)))
    fitted = fit(Problem.of(law, inputs, loss, weights=np.full(12, 0.02**-2), delta=1.0))
    assert fitted.u[2] == pytest.approx(-2.0, abs=1e-3)


def test_warm_refits_find_the_minimum_that_many_starts_find():
    random = np.random.default_rng(0)
    inputs = {"N": 10 ** random.uniform(7, 10, 120), "D": 10 ** random.uniform(9, 11.5, 120)}
    loss = (1.8 + 480 * inputs["N"] ** -0.35 + 2100 * inputs["D"] ** -0.37) * np.exp(0.005 * random.standard_normal(120))
    fitted = fit(Problem.of(Chinchilla(), inputs, loss))
    for count in resampled_counts(120, 3, seed=1):
        problem = replace(fitted.problem, weights=count.astype(float))
        warm = problem.coordinates.unbounded(refits(fitted, iter([problem]))[0])
        assert problem.objective(warm)[0] <= fit(problem).objective * 1.0005


def test_bootstrap_intervals_widen_with_noise_and_repeat_with_their_seed():
    inputs, calm = power_data(noise=0.001)
    _, noisy = power_data(noise=0.01)
    spreads = [bootstrap(fit(Problem.of(Power("compute"), inputs, loss)), 40, seed=5)[:, 2].std() for loss in (calm, noisy)]
    assert spreads[1] > 3 * spreads[0]
    fitted = fit(Problem.of(Power("compute"), inputs, noisy))
    assert np.array_equal(bootstrap(fitted, 3, seed=5), bootstrap(fitted, 3, seed=5))
    assert not np.array_equal(bootstrap(fitted, 3, seed=5), bootstrap(fitted, 3, seed=6))


def test_clusters_are_drawn_whole_and_strata_keep_their_number():
    clusters = np.array(["a", "a", "b", "c", "c", "d"])
    strata = np.array([0, 0, 0, 1, 1, 1])
    counts = resampled_counts(6, 200, seed=0, clusters=clusters, strata=strata)
    assert (counts[:, 0] == counts[:, 1]).all() and (counts[:, 3] == counts[:, 4]).all()
    assert (counts[:, 0] + counts[:, 2] == 2).all() and (counts[:, 3] + counts[:, 5] == 2).all()
    assert set(np.unique(counts)) == {0, 1, 2}
