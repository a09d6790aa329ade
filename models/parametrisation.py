"""Standard parametrisation, or the maximal update parametrisation (muP, arXiv 2203.03466, table 8, Adam), under which a learning rate that is best at
a small width is best at every width. At the base's width the two are one.

Widths alone transfer: not depth, not the number of tokens.
"""

from collections.abc import Iterable
from typing import Any, TypeVar

from models.frozen import Frozen
from models.ladder import ModelShape
from models.training_plan import TrainingConfig

Parameter = TypeVar("Parameter")


class Parametrisation(Frozen):
    """How a model departs from the standard; all are 1 where it does not."""

    width: float = 1.0  # relative to the base's
    queries: float = 1.0  # what attention's scores are multiplied with besides 1 / sqrt(d_head)

    @property
    def logits(self) -> float:
        return 1 / self.width

    @property
    def hidden_learning_rate(self) -> float:
        """Of matrices that grow with the width in both dimensions."""
        return 1 / self.width

    @property
    def embedding_deviation(self) -> float:
        """Of embedding and head at the start, relative to the standard, which falls with the root of the width."""
        return self.width**0.5

    @classmethod
    def of(cls, shape: ModelShape, base: ModelShape | None) -> "Parametrisation":
        """Scores are divided by d_head, not by its root."""
        return cls(width=shape.d_model / base.d_model, queries=(base.d_head / shape.d_head) ** 0.5) if base else cls()


def is_embedding(name: str) -> bool:
    """Whether a parameter of `ProxyLM` is the embedding or the head: one of its dimensions is the vocabulary."""
    return name.startswith(("embed_tokens", "lm_head"))


def parameter_groups(named: Iterable[tuple[str, Parameter]], shape: ModelShape, config: TrainingConfig) -> list[dict[str, Any]]:
    """AdamW's groups of a model's named parameters; each has the `learning_rate_scale` that the schedule's rate is multiplied with. Norms have no
    weight decay; that of a group is such that its product with the learning rate is the same in all widths (arXiv 2405.13698)."""
    scale = Parametrisation.of(shape, config.mup_base_shape).hidden_learning_rate
    groups: dict[tuple[str, float, float], list[Parameter]] = {}
    for name, parameter in named:
        kind = "norm" if "norm" in name else "embedding" if is_embedding(name) and scale != 1 else "matrix"
        rate = scale if kind == "matrix" else 1.0
        groups.setdefault((kind, rate, 0.0 if kind == "norm" else config.weight_decay / rate), []).append(parameter)
    norms_last = sorted(groups.items(), key=lambda group: group[0][0] == "norm")
    return [{"params": parameters, "weight_decay": decay, "learning_rate_scale": rate} for (_, rate, decay), parameters in norms_last]
