"""Continual pretraining on general and domain data: the loss by the domain's share, and the largest share that general ability bears."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from models.frozen import StudyError
from models.laws.estimator import CLUSTER, Estimate, Estimator, Options, Prediction
from models.laws.fixed import FixedLaw
from models.laws.law import Array, Law, Parameter
from models.laws.parametric import ParametricEstimate
from models.laws.with_priors import draws_with_priors, estimate_of, fit_with_priors, row_weights

TOLERANCE = 0.05  # of the general loss, in its unit: epsilon of arXiv 2407.17467 section 5.1
LEAST_RATIO = 1e-6  # of draws: the domain's loss has no value at 0
FEWEST_RATIOS, FEWEST_TOKENS = 3, 3  # different values: below, s and the exponents of T can't be told from the coefficients


class Cmr(Estimator):
    """loss(R, T) = L_base + alpha2 R^s T^s2 - alpha3 T^s3, and domain_loss(R, T) = beta1 + alpha1 R^s1R T^s1T: the general loss of continual
    pretraining by the domain's share R of the tokens and the tokens T, and the domain's own.

    What is forgotten grows with R and T, what is learned with T. A row is a run or one of its checkpoints: `R` in [0, 1], `T`, the general `loss`,
    and, when mapped, `domain_loss`. Rows at T = 0 are the model before: they measure L_base, which is extrapolated without them.

    Source: arXiv 2407.17467 sections 5.1 and 5.2 (eq. 6), section 5.3 (eq. 7 and 8) for the ratios.

    At fixed T the general loss is the paper's L(R) = alpha R^s + beta, at fixed R its alpha2 T^s2 + alpha3 T^s3 + beta2 (where a fit is made for
    each R); this is the one law that is both, with no change at T = 0.
    `--predict 'T=2e10'` (`epsilon=0.02` beside it; .05 else, the paper's) gives
      critical_ratio  the largest R whose general loss after T tokens is at most L_base + epsilon (definition 1);
      turning_ratio   the largest R whose general loss falls at T (definition 2 and eq. 7 with lambda -> infinity, which section 5.3 finds near):
                      eta1 T^s4 with s4 = (s3 - s2) / s, the power law of eq. 8 with beta3 = 0;
      domain_loss     at the critical ratio.
    The paper's ratio is the smaller of the two. Both are between 0 and 1: 1 says that domain data alone would do.
    `--predict 'R=0.3,T=2e10'` gives the losses there.
    Bounds: L_base, alpha2, alpha3 > 0; 0 < s < 5; 0 < s2, s3 < 3; the domain's exponents in (-3, 3), so that its loss may fall towards a floor
    (alpha1 > 0, exponents < 0) or from the loss before (alpha1 < 0, exponents > 0).
    Starts: a grid of exponents, the rest by linear least squares.
    Identifiability: three ratios and three values of T at least. s2 and s3 need curves that rise and fall; where the loss only rises, alpha3 and s3
    are in a flat valley and the turning ratio is not known. Checkpoints of one run share its noise: name the run as `cluster`.
    """

    name = "cmr"
    response = "loss"
    positive = ("loss", "domain_loss")
    optional_at_point = ("R", "domain_loss")
    further_at_point = ("epsilon",)

    def __init__(self, with_domain_loss: bool = False, delta: float = 1e-3):
        self.delta, self.with_domain_loss = delta, with_domain_loss
        self.inputs = ("R", "T", *(("domain_loss",) if with_domain_loss else ()))
        self.coefficients = (*GeneralLoss().names, *(DomainLoss().names if with_domain_loss else ()))

    def estimate(self, columns: Mapping[str, Array], options: Options) -> "CmrEstimate":
        R, T = columns["R"], columns["T"]
        self._check(R, T, options)
        everywhere = np.ones(len(R), dtype=bool)
        domain = self._fit(DomainLoss(), columns, (R > 0) & (T > 0), options) if self.with_domain_loss else None
        is_base_known = bool((T == 0).any()) or "L_base" in options.fixed
        return CmrEstimate.of(self._fit(GeneralLoss(), columns, everywhere, options), domain, is_base_known)

    def _check(self, R: Array, T: Array, options: Options) -> None:
        if R.min() < 0 or R.max() > 1 or T.min() < 0:
            raise StudyError(
                f"R is the domain's share of the tokens, from 0 to 1, and T the tokens, from 0: these rows hold R from {R.min():g} to {R.max():g} "
                f"and T from {T.min():g} to {T.max():g}; map them as shares, as with --map R=percent/100."
            )
        for name, column, fewest in (
            ("ratios R", R[T > 0], FEWEST_RATIOS - ("s" in options.fixed)),
            ("values of T above 0", T[T > 0], FEWEST_TOKENS),
        ):
            if len(values := np.unique(column)) < fewest:
                listed = ", ".join(f"{value:g}" for value in values) or "none"
                raise StudyError(f"The law 'cmr' needs at least {fewest} different {name} to say how the loss changes with it; there are {listed}.")

    def _fit(self, law: Law, columns: Mapping[str, Array], rows: Array, options: Options) -> ParametricEstimate:
        inputs, loss = {name: columns[name][rows] for name in ("R", "T")}, columns[law.response][rows]
        fixed = FixedLaw(law, {name: value for name, value in options.fixed.items() if name in law.names})
        if len(loss) <= len(fixed.parameters) or np.ptp(loss) == 0:
            what = f"are equal ({loss[0]:g})" if len(loss) and np.ptp(loss) == 0 else f"are too few for {len(fixed.parameters)} coefficients"
            raise StudyError(f"The {len(loss)} usable values of {law.response} {what}: the law 'cmr' can't be fitted to them.")
        starts = law.starts(inputs, loss)
        begun = starts.copy()
        for name, value in options.starts.items():
            if name in law.names:
                begun[:, law.names.index(name)] = value
        starts = np.unique(np.vstack([starts, begun]), axis=0)[:, fixed.is_free]
        fitted = fit_with_priors(fixed, inputs, loss, row_weights(columns, len(rows))[rows], self.delta, starts)
        clusters = columns[CLUSTER][rows] if CLUSTER in columns else None
        return estimate_of(fitted, draws_with_priors(fitted, options, clusters))


@dataclass(frozen=True, kw_only=True)
class CmrEstimate(Estimate):
    general: ParametricEstimate
    domain: ParametricEstimate | None

    @classmethod
    def of(cls, general: ParametricEstimate, domain: ParametricEstimate | None, measured_base: bool) -> "CmrEstimate":
        parts = (general, domain) if domain else (general,)
        (eta1, s4), (eta1_b, s4_b) = turning_power_law(general.values), turning_power_law(general.values_b)
        extrapolated = (
            f"No row has T = 0: the loss before continual pretraining, L_base = {general.coefficients['L_base']:.4g}, is extrapolated; add the model "
            "before as a row, or give it with --fix L_base=VALUE."
        )
        return cls(
            general=general,
            domain=domain,
            coefficients={name: value for part in parts for name, value in part.coefficients.items()} | {"eta1": float(eta1), "s4": float(s4)},
            draws={name: draws for part in parts for name, draws in part.draws.items()} | {"eta1": eta1_b, "s4": s4_b},
            objective_name=f"of the general loss: {general.objective_name}",
            objective=general.objective,
            metrics={**general.metrics, **({f"domain_{name}": value for name, value in domain.metrics.items()} if domain else {})},
            warnings=tuple(dict.fromkeys([w for part in parts for w in part.warnings] + ([] if measured_base else [extrapolated]))),
        )

    def predict(self, inputs: Mapping[str, Array]) -> Array:
        return self.general.predict(inputs)

    def draws_at(self, inputs: Mapping[str, Array]) -> Array:
        return self.general.draws_at({name: inputs[name] for name in ("R", "T")})

    def predictions(self, inputs: Mapping[str, float]) -> tuple[Prediction, ...]:
        """At R and T: the losses. At T alone: the ratios, and the domain's loss at the critical one."""
        if "T" not in inputs:
            raise StudyError("The law 'cmr' predicts at a number of tokens: give T, as in --predict 'T=2e10'.")
        T = inputs["T"]
        if "R" in inputs:
            point = {"R": inputs["R"], "T": T}
            domain = self.domain.predictions(point) if self.domain and inputs["R"] > 0 and T > 0 else ()
            return (*self.general.predictions(point), *domain)
        return self._ratios(T, inputs.get("epsilon", TOLERANCE))

    def _ratios(self, T: float, epsilon: float) -> tuple[Prediction, ...]:
        both = (self.general.values, self.general.values_b)
        critical, critical_b = (critical_ratio(values, T, epsilon) for values in both)
        turning, turning_b = (np.clip(eta1 * T**s4, 0, 1) for eta1, s4 in map(turning_power_law, both))
        found = [Prediction("critical_ratio", float(critical), critical_b), Prediction("turning_ratio", float(turning), turning_b)]
        if self.domain and critical > 0 and T > 0:
            values, values_b = np.moveaxis(self.domain.values, -1, 0), np.moveaxis(self.domain.values_b, -1, 0)
            at, at_b = ({"R": R, "T": np.full(np.shape(R), T)} for R in (critical, np.maximum(critical_b, LEAST_RATIO)))
            drawn = np.exp(self.domain.law.log_prediction(values_b, at_b))
            found.append(Prediction("domain_loss", float(np.exp(self.domain.law.log_prediction(values, at))), drawn))
        return tuple(found)


def critical_ratio(values: Array, T: float, epsilon: float) -> Array:
    """The largest R, at most 1, with L(R, T) <= L_base + epsilon, of parameter values (..., p) of `GeneralLoss`."""
    _, alpha2, alpha3, s, s2, s3 = np.moveaxis(values, -1, 0)
    with np.errstate(all="ignore"):
        return np.clip(((epsilon + alpha3 * T**s3) / (alpha2 * T**s2)) ** (1 / s), 0.0, 1.0)


def turning_power_law(values: Array) -> tuple[Array, Array]:
    """eta1 and s4 of R = eta1 T^s4, where dL/dT = 0, of parameter values (..., p) of `GeneralLoss`."""
    _, alpha2, alpha3, s, s2, s3 = np.moveaxis(values, -1, 0)
    with np.errstate(all="ignore"):
        return (alpha3 * s3 / (alpha2 * s2)) ** (1 / s), (s3 - s2) / s


class GeneralLoss(Law):
    """L(R, T) = L_base + alpha2 R^s T^s2 - alpha3 T^s3. See `Cmr`."""

    name = "cmr"
    inputs = ("R", "T")
    parameters = (
        Parameter("L_base", "log"),
        Parameter("alpha2", "log"),
        Parameter("alpha3", "log"),
        Parameter("s", "logistic", 0.0, 5.0),
        Parameter("s2", "logistic", 0.0, 3.0),
        Parameter("s3", "logistic", 0.0, 3.0),
    )

    def log_prediction(self, values: Array, inputs: Mapping[str, Array]) -> Array:
        return self.log_prediction_and_jacobian(values, inputs)[0]

    def log_prediction_and_jacobian(self, values: Array, inputs: Mapping[str, Array]) -> tuple[Array, Array]:
        base, alpha2, alpha3, s, s2, s3 = values
        log_R, log_T = _log_where_positive(inputs["R"]), _log_where_positive(inputs["T"])
        started = inputs["T"] > 0
        forgotten = np.where(started & (inputs["R"] > 0), np.exp(s * log_R + s2 * log_T), 0.0)
        learned = np.where(started, np.exp(s3 * log_T), 0.0)
        loss = base + alpha2 * forgotten - alpha3 * learned
        columns = [np.ones_like(loss), forgotten, -learned, alpha2 * forgotten * log_R, alpha2 * forgotten * log_T, -alpha3 * learned * log_T]
        return np.log(loss), np.stack(columns, axis=1) / loss[:, None]

    def starts(self, inputs: Mapping[str, Array], loss: Array) -> Array:
        """Exponents on a grid; the rest of them by least squares, the two terms kept positive."""
        R, T = inputs["R"], inputs["T"]
        found = []
        for s in (0.5, 1.0, 2.0):
            for s2, s3 in ((0.1, 0.3), (0.2, 0.6), (0.3, 0.3), (0.5, 0.8), (0.6, 0.2)):
                columns = np.column_stack([np.ones_like(loss), R**s * T**s2, -(T**s3)])
                base, alpha2, alpha3 = np.linalg.lstsq(columns / np.abs(columns).max(0), loss)[0] / np.abs(columns).max(0)
                least = 0.01 * np.ptp(loss)
                found.append(
                    (max(base, 0.5 * loss.min()), max(alpha2, least / columns[:, 1].max()), max(alpha3, least / -columns[:, 2].min()), s, s2, s3)
                )
        return np.array(found)


class DomainLoss(Law):
    """L(R, T) = beta1 + alpha1 R^s1R T^s1T: the domain's loss by its share and the tokens. See `Cmr`."""

    name = "cmr"
    inputs = ("R", "T")
    response = "domain_loss"
    parameters = (
        Parameter("beta1"),
        Parameter("alpha1"),
        Parameter("s1R", "logistic", -3.0, 3.0),
        Parameter("s1T", "logistic", -3.0, 3.0),
    )

    def log_prediction(self, values: Array, inputs: Mapping[str, Array]) -> Array:
        beta1, alpha1, s1R, s1T = values
        return np.log(beta1 + alpha1 * inputs["R"] ** s1R * inputs["T"] ** s1T)

    def starts(self, inputs: Mapping[str, Array], loss: Array) -> Array:
        """Exponents on a grid of either sign, the rest by linear least squares."""
        found = []
        for s1R in (-0.6, -0.2, -0.05, 0.05, 0.2, 0.6):
            for ratio in (0.3, 1.0, 3.0):
                power = inputs["R"] ** s1R * inputs["T"] ** (ratio * s1R)
                beta1, alpha1 = np.linalg.lstsq(np.column_stack([np.ones_like(loss), power / power.max()]), loss)[0]
                found.append((beta1, alpha1 / power.max(), s1R, ratio * s1R))
        return np.array(found)


def _log_where_positive(column: Array) -> Array:
    return np.log(np.where(column > 0, column, 1.0))
