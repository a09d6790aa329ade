"""The laws that `assay fit` knows, by name. To add one: write its file with a `Law` or an `Estimator`, and its line in `LAWS`."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from importlib import import_module

from models.frozen import StudyError, nearest
from models.laws.estimator import Estimator
from models.laws.law import Law
from models.laws.parametric import Parametric


@dataclass(frozen=True)
class Asked:
    """What a law may depend on besides the rows."""

    mapped: Collection[str]  # names given with --map, without the response and what every law has
    weight_columns: tuple[str, ...]  # of the mixture, given with --weights
    delta: float


def _class(module: str, name: str) -> type:
    """Imported when asked for: some laws bring libraries that the others do without."""
    return getattr(import_module(f"models.laws.{module}"), name)


def _plain(module: str, name: str) -> Callable[[Asked], Law | Estimator]:
    """A law that depends on nothing."""
    return lambda asked: _class(module, name)()


def _of_mixture(module: str, name: str) -> Callable[[Asked], Law | Estimator]:
    """A law of the mixture's weights."""
    return lambda asked: _class(module, name)(asked.weight_columns)


def _regression(module: str, name: str) -> Callable[[Asked], Estimator]:
    """A mixture law, of one loss."""

    def make(asked: Asked) -> Estimator:
        law = getattr(import_module(f"models.mixture_laws.{module}"), name)()
        return _class("mixture_regression", "MixtureRegression")(law, asked.weight_columns)

    return make


def _power(asked: Asked) -> Law:
    of = [name for name in asked.mapped if name != "loss"]
    if len(of) != 1:
        raise StudyError(
            f"The law 'power' is of one input, {'and none is' if not of else ', '.join(sorted(of)) + ' are'} mapped: map one of N, D, C."
        )
    return _class("power", "Power")(of[0])


LAWS: dict[str, Callable[[Asked], Law | Estimator]] = {
    "power": _power,
    "chinchilla": _plain("chinchilla", "Chinchilla"),
    "isoflop": lambda asked: _class("isoflop", "Isoflop")(asked.mapped, asked.delta),
    "data-constrained": _plain("data_constrained", "DataConstrained"),
    "overtraining": _plain("overtraining", "Overtraining"),
    "step-law": _plain("step_law", "StepLaw"),
    "mixture-exp": _of_mixture("mixture_exp", "MixtureExp"),
    "mixture-linear": _regression("linear", "Linear"),
    "mixture-lightgbm": _regression("boosted_trees", "BoostedTrees"),
    "mixture-gp": _regression("gaussian_process", "GaussianProcess"),
    "joint": lambda asked: _class("joint", "Joint")(asked.weight_columns, delta=asked.delta),
    "joint-additive": lambda asked: _class("joint", "Joint")(asked.weight_columns, "additive", asked.delta),
    "joint-interacting": lambda asked: _class("joint", "Joint")(asked.weight_columns, "joint", asked.delta),
    "cmr": lambda asked: _class("cmr", "Cmr")("domain_loss" in asked.mapped, asked.delta),
    "overfitting": lambda asked: _class("overfitting", "Overfitting")(asked.mapped, asked.delta),
    "downstream": lambda asked: _class("downstream", "Downstream")(asked.mapped, delta=asked.delta),
    "downstream-exponential": lambda asked: _class("downstream", "Downstream")(asked.mapped, "exponential", asked.delta),
    "downstream-sigmoid": lambda asked: _class("downstream", "Downstream")(asked.mapped, "sigmoid", asked.delta),
}
OF_MIXTURES = ("mixture-exp", "mixture-linear", "mixture-lightgbm", "mixture-gp", "joint", "joint-additive", "joint-interacting")


def estimator(name: str, mapped: Collection[str], weight_columns: Sequence[str] = (), delta: float = 1e-3) -> Estimator:
    """The law `name` for a table whose columns `mapped` (names given with --map) and `weight_columns` are there.

    Raises:
        StudyError: when there is no such law, or it needs weights and there are none.
    """
    if name not in LAWS:
        raise StudyError(f"There is no law '{name}'{nearest(name, LAWS)}: the laws are {', '.join(LAWS)}.")
    if name in OF_MIXTURES and not weight_columns:
        raise StudyError(f"The law '{name}' is of the mixture's weights: name their columns, as with --weights 'w_*'.")
    if weight_columns and name not in OF_MIXTURES:
        raise StudyError(f"The law '{name}' is not of the mixture: leave --weights out, or fit one of {', '.join(OF_MIXTURES)}.")
    law = LAWS[name](Asked(mapped, tuple(weight_columns), delta))
    return Parametric(law, delta) if isinstance(law, Law) else law
