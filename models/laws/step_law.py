"""The best learning rate and batch size by parameters and tokens.

Shapes: n rows, m settings (of N and D), b draws.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from models.frozen import StudyError
from models.laws.alike import within
from models.laws.bowl import Bowl, bowl, pooled_noise
from models.laws.diverged import DIVERGED
from models.laws.estimator import CLUSTER, WEIGHT, Estimate, Estimator, Options, Prediction
from models.laws.law import Array
from models.laws.log_regression import LogLine, Points, log_line
from models.laws.metrics import metrics

OF_RATE, OF_BATCH = ("c", "alpha", "beta"), ("d", "gamma")
OF_LOWEST = ("level", "by_N", "by_D")  # of the lowest loss, a power law near the settings; none of the coefficients
# As in `isoflop_budgets.py`; a setting holds tens of runs over two axes, so that narrower windows hold enough. A compromise, from simulations and
# from arXiv 2503.04715's runs: starting at 2% scatters less where the surface is symmetric, starting at 1% is nearer to its best runs. Where losses
# rise faster on one side, both move alpha by up to 0.1 in simulations, and intervals do not hold that.
WINDOWS = (0.01, 0.02, 0.05, 0.1, 0.2)
SETTINGS_NAMED = 5  # of those left out for one reason


class StepLaw(Estimator):
    """lr(N, D) = c N^alpha D^beta, batch(D) = d D^gamma: the learning rate and the batch size, in tokens, of the lowest loss.

    Rows are runs: `N`, `D`, `lr`, `batch` (in tokens for the published d, as in --map 'batch=sequences*2048') and `loss`, best a smoothed one. Runs
    whose N, and whose D, differ by at most 10% are one setting. Runs that end more than 50% above the best of their setting have diverged and are
    dropped. In each setting a quadratic surface of log loss over log lr and log batch is fitted to the runs near its minimum
    (`models/laws/bowl.py`); then straight lines in logarithms go through the minima (`models/laws/log_regression.py`). A setting whose minimum is not
    bracketed is left out and named.
    `--predict N=1e9,D=2e10` gives lr, batch and the loss there; `--predict N=1e9,D=2e10,lr=1e-3,batch=1e6` the loss of a run off the optimum.
    mean_excess_loss and largest_excess_loss: of the run of each setting that is nearest to the law (in logarithms), over the best run, relative.

    Source: arXiv 2503.04715 eq. 1; its authors fit all runs within 0.25% of the best of their setting instead.
    Bounds: c, d > 0.
    Starts: none; surfaces and lines are linear least squares.
    Identifiability: alpha needs several N, beta and gamma several D that do not go in step with N; three learning rates and three batch sizes in each
    setting, around the best. The optimum is flat: coefficients go together, and loss by much less than they seem to.
    Draws hold the scatter of the minima around the law, not what a lopsided surface moves all of them. The lowest loss is taken as a power law of N
    and D: trust it near the settings only.
    """

    name = "step-law"
    inputs = ("N", "D", "lr", "batch")
    response = "loss"
    coefficients = (*OF_RATE, *OF_BATCH)
    optional_at_point = ("lr", "batch")

    def unusable(self, columns: Mapping[str, Array]) -> Mapping[str, Array]:
        positive = np.all([columns[name] > 0 for name in (*self.inputs, self.response)], axis=0)
        diverged = np.zeros(len(positive), dtype=bool)
        kept = np.flatnonzero(positive)
        for rows in _settings(columns["N"][kept], columns["D"][kept]):
            loss = columns["loss"][kept[rows]]
            diverged[kept[rows]] = loss > (1 + DIVERGED) * loss.min()
        return {f"loss is more than {DIVERGED:.0%} above the best run of its N and D (diverged)": diverged}

    def estimate(self, columns: Mapping[str, Array], options: Options) -> "StepLawEstimate":
        loss = columns["loss"]
        if np.ptp(loss) == 0:
            raise StudyError(f"All {len(loss)} losses are equal ({loss[0]:g}): there is no learning rate that is best.")
        z, weights = np.log(np.stack([columns["lr"], columns["batch"]], axis=1)), columns.get(WEIGHT)
        settings = [_Setting.of(rows, columns, z, weights) for rows in _settings(columns["N"], columns["D"])]
        bowls = [(setting, setting.surface) for setting in settings if isinstance(setting.surface, Bowl)]
        left_out = [setting for setting in settings if not isinstance(setting.surface, Bowl)]
        if not set(self.coefficients) <= set(options.fixed) and not bowls:
            raise StudyError(
                f"No setting of N and D tells its best learning rate and batch ({_left_out_in_words(left_out)}): add runs around the best."
            )
        rate, batch = (self._line(axis, bowls, options) for axis in (0, 1))
        found = StepLawEstimate(
            rate=rate,
            batch=batch,
            surface=_Surface.of(settings, [one for _, one in bowls], options),
            coefficients={**rate.coefficients, **batch.coefficients},
            draws={**rate.draws, **batch.draws},
            objective_name="sum of squared residuals of log lr and log batch",
            objective=rate.squares + batch.squares,
            metrics={},
            warnings=_warnings(rate, batch, left_out, options),
            notes=_notes(settings, columns, options),
        )
        excess = found.excess_losses(settings, z, loss)
        own = {"mean_excess_loss": float(excess.mean()), "largest_excess_loss": float(excess.max())}
        return replace(found, metrics=own | metrics(loss, found.predict(columns)))

    def _line(self, axis: int, bowls: Sequence[tuple["_Setting", Bowl]], options: Options) -> LogLine:
        """Of the learning rate (axis 0) or the batch (1) through the settings' minima."""
        names, inputs = ((OF_RATE, ("N", "D")), (OF_BATCH, ("D",)))[axis]
        noise, degrees = pooled_noise([one for _, one in bowls])
        points = Points(
            x=np.array([[getattr(setting, name) for name in inputs] for setting, _ in bowls]).reshape(-1, len(inputs)),
            y=np.array([np.exp(one.place[axis]) for _, one in bowls]),
            variance=np.array([noise * one.covariance[axis, axis] for _, one in bowls]),
            degrees=degrees,
        )
        return log_line(names, inputs, points, options.fixed, options.bootstrap, options.seed + axis, "settings of N and D")


@dataclass(frozen=True)
class _Setting:
    N: float
    D: float
    rows: Array
    lowest: float  # log loss, of its best run
    surface: Bowl | str  # or why there is none

    @classmethod
    def of(cls, rows: Array, columns: Mapping[str, Array], z: Array, weights: Array | None) -> "_Setting":
        N, D = (float(np.exp(np.log(columns[name][rows]).mean())) for name in ("N", "D"))
        log_loss = np.log(columns["loss"][rows])
        surface = bowl(z[rows], log_loss, WINDOWS, None if weights is None else weights[rows])
        return cls(N, D, rows, float(log_loss.min()), surface)


@dataclass(frozen=True)
class _Surface:
    """log L = log L*(N, D) + 1/2 (z - z*)' curvature (z - z*), z the logarithms of learning rate and batch."""

    lowest: LogLine  # L*(N, D)
    curvature: Array  # (2, 2) mean over settings; 0 where none has a bowl

    @classmethod
    def of(cls, settings: Sequence[_Setting], bowls: Sequence[Bowl], options: Options) -> "_Surface":
        scales = np.array([[setting.N, setting.D] for setting in settings])
        floors = np.exp([setting.surface.floor if isinstance(setting.surface, Bowl) else setting.lowest for setting in settings])
        given = _left_open(np.log(scales)) | ({"level": float(floors[0])} if len(floors) == 1 else {})
        lowest = log_line(OF_LOWEST, ("N", "D"), Points(scales, floors), given, options.bootstrap, options.seed + 2, "settings of N and D")
        return cls(lowest, np.mean([one.curvature for one in bowls], axis=0) if bowls else np.zeros((2, 2)))

    def rise(self, off: Array) -> Array:
        """Loss over the lowest (...) at z - z* = off (..., 2)."""
        return np.exp(0.5 * np.einsum("...i,ij,...j->...", off, self.curvature, off))


def _left_open(log_scales: Array) -> dict[str, float]:
    """Exponents of L*(N, D) that these settings (m, 2) don't tell: of N, of D, or of one where they go together. They count as 0."""
    for told in ((0, 1), (1,), (0,)):
        centred = log_scales[:, told] - log_scales[:, told].mean(axis=0)
        if len(log_scales) > 1 + len(told) and np.linalg.matrix_rank(centred, tol=1e-6) == len(told):
            return {OF_LOWEST[1 + k]: 0.0 for k in (0, 1) if k not in told}
    return dict.fromkeys(OF_LOWEST[1:], 0.0)


def _settings(N: Array, D: Array) -> list[Array]:
    """Rows of each setting, by N, then D."""
    return [of_size[rows] for of_size in within(N) for rows in within(D[of_size])]


def _left_out_in_words(left_out: Sequence[_Setting]) -> str:
    by_reason: dict[str, list[_Setting]] = {}
    for setting in left_out:
        by_reason.setdefault(str(setting.surface), []).append(setting)
    parts = []
    for reason, those in by_reason.items():
        listed = "; ".join(f"N = {one.N:.3g}, D = {one.D:.3g}" for one in those[:SETTINGS_NAMED]) + (
            " and more" if len(those) > SETTINGS_NAMED else ""
        )
        parts.append(f"{len(those)} ({listed}): {reason}")
    return "; ".join(parts)


def _warnings(rate: LogLine, batch: LogLine, left_out: Sequence[_Setting], options: Options) -> tuple[str, ...]:
    doubts = []
    if left_out:
        consequence = "" if len(options.fixed) == len(OF_RATE + OF_BATCH) else " The settings that are left may be a selection."
        doubts.append(f"Settings left out of the lines, {_left_out_in_words(left_out)}.{consequence}")
    if len(options.fixed) == len(OF_RATE + OF_BATCH):
        doubts.append("All coefficients are given: intervals hold no doubt about them.")
    elif not (np.isfinite(rate.values_b).all() and np.isfinite(batch.values_b).all()):
        doubts.append("The settings are too few to tell their scatter: there are no intervals.")
    return tuple(doubts)


def _notes(settings: Sequence[_Setting], columns: Mapping[str, Array], options: Options) -> tuple[str, ...]:
    notes = [f"{len(settings)} settings of N and D."]
    if options.starts:
        notes.append(f"{', '.join(options.starts)}: found in closed form, a start changes nothing.")
    if CLUSTER in columns:
        notes.append("Settings are the units of the draws: rows of one cluster are not drawn together.")
    return tuple(notes)


@dataclass(frozen=True, kw_only=True)
class StepLawEstimate(Estimate):
    rate: LogLine
    batch: LogLine
    surface: _Surface

    def excess_losses(self, settings: Sequence[_Setting], z: Array, loss: Array) -> Array:
        """(m) of each setting's run nearest to the law, over its best run."""
        excess = []
        for setting in settings:
            N, D = np.array([setting.N]), np.array([setting.D])
            best = np.log([self.rate.at(N, D)[0], self.batch.at(D)[0]])
            nearest = setting.rows[((z[setting.rows] - best) ** 2).sum(axis=1).argmin()]
            excess.append(loss[nearest] / np.exp(setting.lowest) - 1)
        return np.array(excess)

    def predict(self, inputs: Mapping[str, Array]) -> Array:
        N, D = inputs["N"], inputs["D"]
        return self.surface.lowest.at(N, D) * self.surface.rise(_off(inputs, self.rate.at(N, D), self.batch.at(D)))

    def draws_at(self, inputs: Mapping[str, Array]) -> Array:
        N, D = inputs["N"], inputs["D"]
        return self.surface.lowest.draws_at(N, D) * self.surface.rise(_off(inputs, self.rate.draws_at(N, D), self.batch.draws_at(D)))

    def predictions(self, inputs: Mapping[str, float]) -> tuple[Prediction, ...]:
        """At N and D: the best learning rate and batch, and the loss there. With `lr` and `batch`: the loss."""
        point = {name: np.array([value]) for name, value in inputs.items()}
        if missing := {"lr", "batch"} - set(point):
            if len(missing) == 1:
                raise StudyError(f"--predict gives one of lr and batch and not {missing.pop()}: give both for the loss of a run, none for the best.")
            N, D = point["N"], point["D"]
            lines = (("lr", self.rate, (N, D)), ("batch", self.batch, (D,)), ("loss", self.surface.lowest, (N, D)))
            return tuple(Prediction(name, float(line.at(*x)[0]), line.draws_at(*x)[:, 0]) for name, line, x in lines)
        return (self.prediction("loss", inputs),)


def _off(inputs: Mapping[str, Array], rate: Array, batch: Array) -> Array:
    """log of learning rate and batch over the best ones, (..., n, 2)."""
    return np.stack([np.log(inputs["lr"] / rate), np.log(inputs["batch"] / batch)], axis=-1)
