"""Loss by mixture, model size and tokens: the additive or the joint form, whichever predicts larger models better."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from models.frozen import StudyError
from models.laws.composition import BROKEN, MixtureEstimate, normalised, off_one
from models.laws.core import Fit
from models.laws.estimator import CLUSTER, Estimator, Options
from models.laws.fixed import FixedLaw
from models.laws.joint_forms import Form, JointForm
from models.laws.law import Array
from models.laws.with_priors import draws_with_priors, estimate_of, fit_with_priors, row_weights

FORMS: tuple[Form, ...] = ("additive", "joint")
OTHER_FORM: dict[Form, Form] = {"additive": "joint", "joint": "additive"}
FEWEST_MIXTURES = 3
SURE = 1.0  # standard errors, over mixtures: with fewer coefficients the additive form wins ties
STEPS_AWAY, STEP_SD = 6, 0.3  # starts of the joint form around the additive fit, and how far off, in the unbounded coordinates


class Joint(Estimator):
    """additive form: L = E + 1 / sum_i C_i h_i^gamma_i + A / N^alpha + B / D^beta (5 + 2k coefficients of k domains); joint form:
    L = E + 1 / sum_i C_i h_i^gamma_i + (sum_i CA_i h_i)^gammaA / N^alpha + (sum_i CB_i h_i)^gammaB / D^beta (5 + 4k)

    of the weights h of the domains, parameters N and tokens D; C_w, gamma_w, CA_w and CB_w for the weight in column `w`. In the additive form the
    best mixture is the same at all scales.

    Source: arXiv 2507.09404 eq. 2.4 and 2.5.

    There Huber of absolute residuals with delta 1e-3; here of log residuals, so that the unit of the loss is no matter, with delta 1.345 times their
    scatter, at least the one asked for.
    Choice of the form, unless asked for (the names `joint-additive` and `joint-interacting` do): both are fitted without the largest size (and, with
    four sizes or more, without the two largest) and predict the left-out runs; the joint form is taken when its error is lower by more than the
    standard error of the difference (over mixtures). With one size only, the largest budgets are left out instead. A form is chosen too by
    giving (--fix) a coefficient of it alone.
    Bounds: all coefficients > 0, gammaA and gammaB too.
    Priors, normal in the logarithm, against runs that scatter as these do: E .35 (x/ 2.7), 1/C_i .33 (x/ 4.5) and each of the terms of N and D,
    in the middle of the data, .25 (x/ 4.5) of the mean loss; gamma_i .5 (x/ 2.7), alpha and beta .35 (x/ 1.5), gammaA and gammaB 1 (x/ 1.6).
    They are weaker than a few dozen runs, and keep what these do not tell (the weight of a domain that does not matter, E against A) from
    running away. Draws of the bootstrap draw the priors' middles too.
    Starts: additive: a grid of shares in the loss, exponents, and which domain helps most. Joint: the additive fit, which it contains
    (gammaA = gammaB = 1, CA_i = A, CB_i = B), and steps away from it, in place of the paper's basin hopping.
    Identifiability: the paper needs 10 to 20 mixtures for 4 to 8 domains. E, A and alpha lie in a flat valley with few sizes; gammaA with CA.
    """

    name = "joint"
    response = "loss"

    def __init__(self, weight_columns: Sequence[str], form: Form | None = None, delta: float = 1e-3):
        self.weight_columns, self.delta = tuple(sorted(weight_columns)), delta
        self.form: Form | None = form
        self.inputs = ("N", "D", *self.weight_columns)
        self.names_by_form = {form: JointForm(self.weight_columns, form).names for form in FORMS}
        self.coefficients = tuple(dict.fromkeys(name for form in FORMS for name in self.names_by_form[form]))

    def unusable(self, columns: Mapping[str, Array]) -> dict[str, Array]:
        return {BROKEN: off_one(columns, self.weight_columns)}

    def estimate(self, columns: Mapping[str, Array], options: Options) -> MixtureEstimate:
        rows = Rows.of(normalised(columns, self.weight_columns), self.inputs, self.response, {*options.fixed, *options.starts})
        form, why = self._form(rows, options)
        fitted = self._fit(rows, form, options)
        draws = draws_with_priors(fitted, options, rows.clusters)
        fitted_units = estimate_of(fitted, draws)
        law = fitted_units.law
        assert isinstance(law, JointForm)
        values, values_b = (law.in_units(values, rows.units) for values in (fitted_units.values, fitted_units.values_b))
        in_units = replace(
            fitted_units,
            values=values,
            values_b=values_b,
            coefficients=dict(zip(law.names, map(float, values), strict=True)),
            draws=dict(zip(law.names, values_b.T, strict=True)),
            objective_name=f"{form} form: {fitted_units.objective_name}",
            notes=(why,),
        )
        return MixtureEstimate(**vars(in_units), weight_columns=self.weight_columns)

    def _form(self, rows: "Rows", options: Options) -> tuple[Form, str]:
        """The form, and why, in a sentence."""
        for form, other in OTHER_FORM.items():
            only = sorted(set(self.names_by_form[form]) - set(self.names_by_form[other]))
            given = [name for name in only if name in options.fixed]
            if given and self.form == other:
                raise StudyError(f"{given[0]} is a coefficient of the {form} form, and the {other} form was asked for.")
            if given:
                self._check_enough(rows, form, options)
                return form, f"The {form} form is fitted: {given[0]} is given."
        if self.form:
            self._check_enough(rows, self.form, options)
            return self.form, f"The {self.form} form is fitted: it was asked for."
        self._check_enough(rows, "additive", options)
        return self._chosen_by_transfer(rows, options)

    def _check_enough(self, rows: "Rows", form: Form, options: Options) -> None:
        free = self._num_free(form, options)
        if len(rows.loss) <= free:
            raise StudyError(
                f"The {form} form of the law 'joint' has {free} free coefficients with {len(self.weight_columns)} domains, "
                f"and there are only {len(rows.loss)} usable rows: add runs, or give coefficients with --fix."
            )

    def _num_free(self, form: Form, options: Options) -> int:
        return len(set(self.names_by_form[form]) - set(options.fixed))

    def _chosen_by_transfer(self, rows: "Rows", options: Options) -> tuple[Form, str]:
        largest = self._num_free("joint", options)
        splits = [(train, test) for train, test in rows.extrapolations() if train.sum() > largest]
        if not splits:
            return "additive", "The additive form is fitted: without the largest runs there are too few to fit the joint form and test it."
        errors = {form: np.concatenate([self._errors(rows, form, split, options) for split in splits]) for form in FORMS}
        gain = rows.means_by_mixture(errors["additive"] - errors["joint"], np.concatenate([np.flatnonzero(test) for _, test in splits]))
        form: Form = "joint" if gain.mean() > SURE * gain.std(ddof=min(1, len(gain) - 1)) / np.sqrt(len(gain)) else "additive"
        found = ", ".join(f"{name} {errors[name].mean():.2%}" for name in FORMS)
        return form, f"The {form} form was chosen by how each predicts the largest runs from the others: mean error {found}."

    def _errors(self, rows: "Rows", form: Form, split: tuple[Array, Array], options: Options) -> Array:
        """Absolute log errors at the left-out rows."""
        train, test = split
        fitted = self._fit(rows.where(train), form, options)
        left_out = rows.where(test)
        return np.abs(fitted.problem.law.log_prediction_and_jacobian(fitted.values, left_out.inputs)[0] - np.log(left_out.loss))

    def _fit(self, rows: "Rows", form: Form, options: Options) -> Fit:
        names = self.names_by_form[form]
        law = FixedLaw(JointForm(self.weight_columns, form, rows.typical), {name: value for name, value in options.fixed.items() if name in names})
        return fit_with_priors(law, rows.inputs, rows.loss, rows.weights, self.delta, self._starts(rows, form, law, options))

    def _starts(self, rows: "Rows", form: Form, law: FixedLaw, options: Options) -> Array:
        """(starts, free)."""
        if form == "additive":
            starts = law.law.starts(rows.inputs, rows.loss)
        else:
            additive = self._fit(rows, "additive", options)
            inner = additive.problem.law
            assert isinstance(inner, FixedLaw) and isinstance(inner.law, JointForm)
            same = inner.law.interacting(inner.all_values(additive.values))[1]
            steps = np.random.default_rng(0).normal(0, STEP_SD, (STEPS_AWAY, len(same)))
            starts = np.vstack([same, same * np.exp(steps)])
        given = {name: value for name, value in options.starts.items() if name in law.law.names}
        if given:
            place = [law.law.names.index(name) for name in given]
            from_given = starts.copy()
            from_given[:, place] = list(given.values())
            starts = np.vstack([starts, from_given])
        return starts[:, law.is_free]


@dataclass(frozen=True)
class Rows:
    """The columns (n) that the fit reads."""

    inputs: Mapping[str, Array]  # N and D in `units`
    loss: Array
    weights: Array  # of mean 1
    clusters: Array | None
    units: Mapping[str, float]  # of N and D, in the table's

    @classmethod
    def of(cls, columns: Mapping[str, Array], inputs: Sequence[str], response: str, given: Collection[str]) -> "Rows":
        """`given` are the coefficients that a person gave, in the table's units: those of N (A, CA_w) and of D (B, CB_w) keep these units."""
        loss = columns[response]
        if np.ptp(loss) == 0:
            raise StudyError(f"All {len(loss)} losses are equal ({loss[0]:g}): there is nothing to fit a law to.")
        is_given = {name: any(one == term or one.startswith(f"C{term}_") for one in given) for name, term in (("N", "A"), ("D", "B"))}
        mixtures = {tuple(row) for row in np.column_stack([columns[name] for name in inputs if name not in ("N", "D")]).round(6)}
        if len(mixtures) < FEWEST_MIXTURES:
            raise StudyError(
                f"The {len(loss)} rows hold {len(mixtures)} different mixture{'s' if len(mixtures) > 1 else ''}: how the loss depends on the mixture "
                f"needs at least {FEWEST_MIXTURES}, and better two for each domain."
            )
        units = {name: 1.0 if is_given[name] else middle(columns[name]) for name in ("N", "D")}
        scaled = {name: columns[name] / units.get(name, 1.0) for name in inputs}
        return cls(scaled, loss, row_weights(columns, len(loss)), columns.get(CLUSTER), units)

    def where(self, chosen: Array) -> "Rows":
        clusters = None if self.clusters is None else self.clusters[chosen]
        inputs = {name: column[chosen] for name, column in self.inputs.items()}
        return Rows(inputs, self.loss[chosen], self.weights[chosen], clusters, self.units)

    @property
    def typical(self) -> dict[str, float]:
        return {"N": middle(self.inputs["N"]), "D": middle(self.inputs["D"]), "loss": middle(self.loss)}

    def means_by_mixture(self, column: Array, rows: Array) -> Array:
        """Means over the mixtures of `column` (r), at the rows numbered `rows` (r)."""
        weights = np.column_stack([self.inputs[name][rows] for name in self.inputs if name not in ("N", "D")])
        mixture = np.unique(weights.round(6), axis=0, return_inverse=True)[1].ravel()
        return np.bincount(mixture, column) / np.bincount(mixture)

    def extrapolations(self) -> list[tuple[Array, Array]]:
        """Which rows to fit and which to predict (n, boolean each): without the largest size, and without the two largest when two remain."""
        name = "N" if np.ptp(self.inputs["N"]) else "D"
        column = self.inputs[name]
        values = np.unique(column)
        if name == "D" and len(values) > 5:  # budgets that differ from run to run: by quintiles
            values = np.quantile(column, [0.2, 0.4, 0.6, 0.8, 1.0])
        return [(column <= values[-1 - out], column > values[-1 - out]) for out in (1, 2) if len(values) >= 2 * out]


def middle(column: Array) -> float:
    """The geometric mean."""
    return float(np.exp(np.log(column).mean()))
