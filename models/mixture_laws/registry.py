"""The mixture laws by the names that the command line gives them."""

from collections.abc import Mapping

from models.mixture_laws.auto import Auto
from models.mixture_laws.boosted_trees import BoostedTrees
from models.mixture_laws.exponential import Exponential
from models.mixture_laws.gaussian_process import GaussianProcess
from models.mixture_laws.law import MixtureLaw
from models.mixture_laws.linear import Linear

LAWS: Mapping[str, type[MixtureLaw]] = {law.name: law for law in (Auto, Exponential, Linear, BoostedTrees, GaussianProcess)}
