"""The weights of one run as its hook sets them: which are due when, and what was set so far, from which all goes on."""

import math
from collections.abc import Iterable, Mapping

import numpy as np

from models.frozen import Frozen
from models.weight_hooks.stream_hook import Array, StreamHook, rounded, within


class WeightsSet(Frozen):
    """What was measured before a stretch of a run, and by which weights the stretch is drawn."""

    step: int  # the first of the stretch
    losses_by_domain: dict[str, float]  # nats per token on the validation sequences; with a reference, above it
    weights_by_domain: dict[str, float]


class WeightSchedule:
    """Args:
        hook: that sets the weights.
        start_by_domain: the mixture's own weights.
        steps: of the run.
        done: what was set before a checkpoint.

    Raises:
        ValueError: when the run is too short for the hook, or has not the domains that it needs.
    """

    def __init__(self, hook: StreamHook, start_by_domain: Mapping[str, float], steps: int, done: Iterable[WeightsSet] = ()):
        self.hook, self.domains = hook, sorted(start_by_domain)
        self.start_d = np.array([start_by_domain[domain] for domain in self.domains])
        self.starts, self.steps = hook.starts(steps, self.domains), steps
        self.rows = list(done)

    def is_due(self, step: int) -> bool:
        """Whether weights must be set before `step`."""
        return len(self.rows) < len(self.starts) and step == self.starts[len(self.rows)]

    def steps_to_set(self) -> int:
        """Of the stretch whose weights are due."""
        return [*self.starts, self.steps][len(self.rows) + 1] - self.starts[len(self.rows)]

    def set(self, losses_by_domain: Mapping[str, float], most_by_domain: Mapping[str, float] | None = None) -> WeightsSet:
        """The weights that are due, by what was measured just now; none above its most. Those of before where a loss is not finite: the run
        diverges then, and its next step says so."""
        if not all(map(math.isfinite, losses_by_domain.values())):
            self.rows.append(self.rows[-1].model_copy(update={"step": self.starts[len(self.rows)]}))
            return self.rows[-1]
        losses_ud = np.vstack([self._losses_ud(), self._vector(losses_by_domain)])
        weights_d = self.hook.weights(self.start_d, losses_ud, self._weights_ud(), self.domains)
        weights_d = rounded(weights_d if most_by_domain is None else within(weights_d, self._vector(most_by_domain)))
        self.rows.append(
            WeightsSet(
                step=self.starts[len(self.rows)],
                losses_by_domain=dict(losses_by_domain),
                weights_by_domain=dict(zip(self.domains, weights_d.tolist(), strict=True)),
            )
        )
        return self.rows[-1]

    def answer(self) -> dict[str, float]:
        """The weights to train another model with, by all that were set."""
        return dict(zip(self.domains, rounded(self.hook.answer(self._weights_ud())).tolist(), strict=True))

    def _losses_ud(self) -> Array:
        return np.array([self._vector(row.losses_by_domain) for row in self.rows]).reshape(-1, len(self.domains))

    def _weights_ud(self) -> Array:
        return np.array([self._vector(row.weights_by_domain) for row in self.rows]).reshape(-1, len(self.domains))

    def _vector(self, by_domain: Mapping[str, float]) -> Array:
        return np.array([by_domain[domain] for domain in self.domains])
