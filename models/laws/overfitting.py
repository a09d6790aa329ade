"""A small domain repeated inside pretraining: its test loss, when it overfits, and the best share for a budget."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from models.frozen import StudyError
from models.laws.estimator import CLUSTER, Estimator, Options, Prediction
from models.laws.fixed import FixedLaw
from models.laws.law import Array
from models.laws.metrics import metrics
from models.laws.parametric import ParametricEstimate
from models.laws.repetition import GAP, TRAIN, Repetition, Typical
from models.laws.with_priors import draws_with_priors, estimate_of, fit_with_priors, row_weights

UNIT_OF_T = ("A_train", "omega", "alpha1", "alpha3")  # whose values depend on it
FEWEST_SHARES, FEWEST_TOKENS = 3, 3  # different values
SHARES_TRIED = 1000


class Overfitting(Estimator):
    """loss(T, delta) = train_loss + alpha1 delta^alpha2 exp(alpha3 delta) T^b_gap(delta), where
    train_loss(T, delta) = A_train exp(omega delta) T^b_train(delta) + kappa0 - kappa1 log(delta + kappa2) - kappa3 delta and
    b_x(delta) = delta b_x_s + (1 - delta) b_x_g: the losses of a domain whose text makes up the share delta of T pretraining tokens, again and again.

    A row is a run or one of its checkpoints: `T`, `delta` in [0, 1] (0: no domain data), the domain's test `loss`, and, when mapped, its
    `train_loss`, which tells the two terms apart. `U`, the domain's unique tokens, when mapped, turns shares into repetitions T delta / U; the
    coefficients are of one data set, and a table of several is refused.

    Source: arXiv 2603.16177 eq. 1 to 6.

    There omega = 0 (--fix omega=0), which is a law only in the authors' unit of T; a change of unit makes omega
    (b_s - b_g) times its logarithm, so that with omega free the law is the same in all units. The authors fit train loss and gap one after
    the other by least squares; here both losses are fitted at once, by their logarithms.
    `--predict 'T=2e11'` gives best_fraction, the share between the smallest and the largest in the table with the lowest test loss, the loss there
    and, with U, best_repetitions. `--predict 'T=2e11,delta=0.02'` gives the losses there.
    Bounds: A_train, kappa1, kappa2, alpha1, alpha2 > 0; -2 < b_train_g < 0.
    Priors, wide, on all coefficients, against runs that scatter as these do, in units of the mean loss, the mean T and the largest delta
    (`models/laws/repetition.py`): 13 coefficients are more than test losses alone decide. Draws of the bootstrap draw the priors' middles too.
    Starts: a grid of exponents and of the terms' shares in the loss.
    Identifiability: three shares and three values of T at least. Without `train_loss`, and before any curve turns up, the gap is hardly known, and
    neither is the best share at larger T. Checkpoints of one run share its noise: name the run as `cluster`.
    """

    name = "overfitting"
    response = "loss"
    positive = ("T", "U", "loss", "train_loss")
    coefficients = (*TRAIN, *GAP)
    optional_at_point = ("delta", "train_loss", "U")
    further_at_point = ("U",)

    def __init__(self, mapped: Collection[str] = (), delta: float = 1e-3):
        self.delta = delta
        self.inputs = ("T", "delta", *(name for name in ("train_loss", "U") if name in mapped))

    def estimate(self, columns: Mapping[str, Array], options: Options) -> "OverfittingEstimate":
        unique_tokens = self._check(columns)
        T, delta, loss = columns["T"], columns["delta"], columns["loss"]
        rows = len(loss)
        unit = 1.0 if {*options.fixed, *options.starts} & set(UNIT_OF_T) else float(np.exp(np.log(T).mean()))
        inputs, response = {"T": T / unit, "delta": delta, "is_test": np.ones(rows, dtype=int)}, loss
        weights, clusters = row_weights(columns, rows), columns.get(CLUSTER)
        if "train_loss" in self.inputs:
            inputs = {"T": np.tile(T / unit, 2), "delta": np.tile(delta, 2), "is_test": np.repeat([1, 0], rows)}
            response, weights = np.concatenate([loss, columns["train_loss"]]), np.tile(weights, 2)
            clusters = np.tile(np.arange(rows) if clusters is None else clusters, 2)
        law = Repetition(Typical(float(np.exp(np.log(loss).mean())), float(np.exp(np.log(inputs["T"]).mean())), float(delta.max())))
        fixed = FixedLaw(law, options.fixed)
        fitted = fit_with_priors(fixed, inputs, response, weights, self.delta, self._starts(law, inputs, loss, options)[:, fixed.is_free])
        found = estimate_of(fitted, draws_with_priors(fitted, options, clusters))
        values, values_b = law.in_units(found.values, unit), law.in_units(found.values_b, unit)
        test, train = (np.exp(law.log_prediction(values, {"T": T, "delta": delta, "is_test": np.full(rows, of_test)})) for of_test in (1, 0))
        own = {f"train_{name}": value for name, value in metrics(columns["train_loss"], train).items()} if "train_loss" in self.inputs else {}
        return OverfittingEstimate(
            **vars(found)
            | {
                "values": values,
                "values_b": values_b,
                "coefficients": dict(zip(law.names, map(float, values), strict=True)),
                "draws": dict(zip(law.names, values_b.T, strict=True)),
                "metrics": metrics(loss, test) | own,
            },
            shares=(float(delta.min()), float(delta.max())),
            unique_tokens=unique_tokens,
            with_train_loss="train_loss" in self.inputs,
        )

    def _starts(self, law: Repetition, inputs: Mapping[str, Array], loss: Array, options: Options) -> Array:
        starts = law.starts(inputs, loss)
        begun = starts.copy()
        for name, value in options.starts.items():
            begun[:, law.names.index(name)] = value
        return np.vstack([starts, begun]) if options.starts else starts

    def _check(self, columns: Mapping[str, Array]) -> float | None:
        """The domain's unique tokens, when mapped."""
        T, delta, loss = columns["T"], columns["delta"], columns["loss"]
        if delta.min() < 0 or delta.max() > 1:
            raise StudyError(
                f"delta is the domain's share of the tokens, from 0 to 1, and these rows hold {delta.min():g} to {delta.max():g}: "
                "map it as a share, as with --map delta=percent/100."
            )
        for name, column, fewest in (("shares delta", delta, FEWEST_SHARES), ("values of T", T, FEWEST_TOKENS)):
            if len(values := np.unique(column)) < fewest:
                listed = ", ".join(f"{value:g}" for value in values)
                raise StudyError(f"The law 'overfitting' needs at least {fewest} different {name}; these {len(T)} rows hold {listed}.")
        if np.ptp(loss) == 0:
            raise StudyError(f"All {len(loss)} losses are equal ({loss[0]:g}): there is nothing to fit a law to.")
        needed = len(self.coefficients)
        if len(loss) <= needed:
            raise StudyError(f"The law 'overfitting' has {needed} coefficients and there are only {len(loss)} usable rows: add runs or checkpoints.")
        if "U" not in self.inputs:
            return None
        if np.ptp(columns["U"]) > 1e-3 * columns["U"].max():
            raise StudyError(
                f"The law 'overfitting' is of one data set, and U, its unique tokens, is {columns['U'].min():g} to {columns['U'].max():g} in these "
                "rows: fit each data set by itself, with --where."
            )
        return float(columns["U"].mean())


@dataclass(frozen=True, kw_only=True)
class OverfittingEstimate(ParametricEstimate):
    shares: tuple[float, float]  # smallest and largest in the table
    unique_tokens: float | None
    with_train_loss: bool

    def predict(self, inputs: Mapping[str, Array]) -> Array:
        return super().predict({"T": inputs["T"], "delta": inputs["delta"], "is_test": np.ones(len(inputs["T"]))})

    def draws_at(self, inputs: Mapping[str, Array]) -> Array:
        return super().draws_at({"T": inputs["T"], "delta": inputs["delta"], "is_test": np.ones(len(inputs["T"]))})

    def predictions(self, inputs: Mapping[str, float]) -> tuple[Prediction, ...]:
        """At T and delta: the losses. At T alone: the best share, the loss there, and how often the domain's text is then repeated."""
        if "T" not in inputs:
            raise StudyError("The law 'overfitting' predicts at a number of tokens: give T, as in --predict 'T=2e11'.")
        T = np.array([inputs["T"]])
        if "delta" in inputs:
            return self._losses(T, np.array([inputs["delta"]]))
        low, high = self.shares
        shares = np.unique(np.concatenate([np.linspace(low, high, SHARES_TRIED), np.geomspace(max(low, 1e-4 * high), high, SHARES_TRIED)]))
        best, loss = self._best(self.values, T, shares)
        drawn = np.array([self._best(values, T, shares) for values in self.values_b]).reshape(-1, 2)
        found = [Prediction("best_fraction", best, drawn[:, 0]), Prediction("loss", loss, drawn[:, 1])]
        unique_tokens = inputs.get("U", self.unique_tokens)
        if unique_tokens:
            found.append(Prediction("best_repetitions", best * T[0] / unique_tokens, drawn[:, 0] * T[0] / unique_tokens))
        return tuple(found)

    def _losses(self, T: Array, delta: Array) -> tuple[Prediction, ...]:
        names = ("loss", "train_loss") if self.with_train_loss else ("loss",)
        points = [{"T": T, "delta": delta, "is_test": np.array([of_test])} for of_test in (1, 0)]
        return tuple(
            Prediction(name, float(ParametricEstimate.predict(self, point)[0]), ParametricEstimate.draws_at(self, point)[:, 0])
            for name, point in zip(names, points, strict=False)
        )

    def _best(self, values: Array, T: Array, shares: Array) -> tuple[float, float]:
        """The share with the lowest test loss, and that loss."""
        with np.errstate(all="ignore"):
            log_loss = self.law.log_prediction(values, {"T": T, "delta": shares, "is_test": np.ones(len(shares))})
        best = int(np.nan_to_num(log_loss, nan=np.inf).argmin())
        return float(shares[best]), float(np.exp(log_loss[best]))
