"""Random draws by document: the same wherever a document stands, others in each step that draws."""

import hashlib

import numpy as np
import pyarrow as pa

from tasks.steps.base import StepConfig, StepContext, draw_keys


def uniform(table: pa.Table, context: StepContext, step: StepConfig, purpose: str = "") -> np.ndarray:
    """A number in (0, 1) for each document, float64: a hash of its id, the study's seed, the step's name and the purpose."""
    name = f"{context.seed} {step.step} {purpose}".encode()
    seed = int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "little", signed=True)
    return ((draw_keys(table, seed) >> np.uint64(11)).astype(np.float64) + 0.5) / (1 << 53)


def gumbel(uniform_D: np.ndarray) -> np.ndarray:
    """Standard Gumbel variables. The k highest of log p + Gumbel are k draws without replacement by p (arXiv 1903.06059, section 3.2)."""
    return -np.log(-np.log(uniform_D))
