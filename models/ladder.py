"""The ladder: names of sizes -> shapes, parameters and FLOPs per token; and the runs of a ladder.

A size is named after its parameters *without* embeddings, which the vocabulary does not change. Budgets and the N of the laws count all
parameters, embeddings once; a result states both.
"""

from itertools import product
from pathlib import Path
from typing import Annotated, Literal, Self, get_args

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from models.frozen import Frozen, Name, nearest
from models.llama_config import read_llama_config
from models.model_shape import ModelShape


def _shape(num_layers: int, d_model: int, num_heads: int, d_ff: int, num_kv_heads: int | None = None, tied_embeddings: bool = True) -> ModelShape:
    return ModelShape(
        num_layers=num_layers,
        d_model=d_model,
        num_heads=num_heads,
        num_kv_heads=num_kv_heads or num_heads,
        d_ff=d_ff,
        tied_embeddings=tied_embeddings,
    )


# d_ff is about 8/3 d_model (SwiGLU at the parameters of a 4x MLP, arXiv 2002.05202 section 3), heads are 16 to 128 wide.
PRESETS: dict[str, ModelShape] = {
    "10k": _shape(2, 16, 1, 80),
    "30k": _shape(2, 32, 1, 112),
    "100k": _shape(2, 64, 2, 176),
    "300k": _shape(3, 96, 3, 224),
    "1m": _shape(5, 128, 4, 352),
    "3m": _shape(7, 192, 6, 512),
    "10m": _shape(8, 320, 5, 864),
    "30m": _shape(10, 512, 8, 1344),
    "60m": _shape(12, 640, 10, 1728),
    "125m": _shape(18, 768, 12, 2048),
    "350m": _shape(28, 1024, 16, 2752),
    "1b": _shape(22, 2048, 32, 5632, num_kv_heads=4),  # TinyLlama's, arXiv 2401.02385
    "3b": _shape(28, 3072, 24, 8192, num_kv_heads=8),  # Llama 3.2 3B's
    "7b": _shape(32, 4096, 32, 14336, num_kv_heads=8, tied_embeddings=False),  # Mistral 7B's, arXiv 2310.06825
}


class Seeds(Frozen):
    """Two seeds under one number, by which a run is named: runs that differ in one of the two alone tell where noise comes from."""

    seed: int
    initialization: int
    data: int = Field(description="of the order in which documents are read")

    @classmethod
    def of(cls, seed: "int | Seeds") -> "Seeds":
        return seed if isinstance(seed, Seeds) else cls(seed=seed, initialization=seed, data=seed)


BudgetUnit = Literal["tokens_per_parameter", "budget_tokens", "train_flops"]
SUFFIXES: dict[BudgetUnit, str] = {"tokens_per_parameter": "x", "budget_tokens": "tok", "train_flops": "flops"}


class Budget(Frozen):
    """How long a run trains."""

    unit: BudgetUnit
    value: float

    @property
    def name(self) -> str:
        """`1.5x`, `2.5e6tok` or `1e15flops`."""
        return f"{self.value:g}".replace("e+0", "e").replace("e+", "e") + SUFFIXES[self.unit]

    def tokens(self, shape: ModelShape, vocab_size: int, sequence_length: int) -> int:
        """FLOPs are the exact ones of training, attention included, and so a matter of the sequence length."""
        match self.unit:
            case "tokens_per_parameter":
                return round(self.value * num_params(shape, vocab_size))
            case "budget_tokens":
                return round(self.value)
            case "train_flops":
                return round(self.value / train_flops(shape, vocab_size, sequence_length, tokens=1))


def budget_unit(config: Frozen, where: str) -> BudgetUnit:
    """The one unit in which a configuration gives its budget or budgets.

    Raises:
        ValueError: when it gives none, or several.
    """
    units = get_args(BudgetUnit)
    given = [unit for unit in units if getattr(config, unit) is not None]
    if len(given) != 1:
        raise ValueError(f"{where} needs exactly one of {', '.join(units)}, and has {' and '.join(given) or 'none'}")
    return given[0]


class Checkpoint(Frozen):
    """A Llama of Hugging Face's form, from which runs start."""

    path: str = Field(description="folder with config.json, model.safetensors and tokenizer.json")
    sha256: str | None = Field(default=None, description="of the folder's files' names and contents; left out, the error tells it")


class LadderRun(Frozen):
    """One rung of the ladder: what a run is, before any data."""

    size: str
    budget: Budget
    seeds: Seeds
    checkpoint: Checkpoint | None = None

    @property
    def seed(self) -> int:
        return self.seeds.seed

    @property
    def name(self) -> str:
        """Unique in a ladder, and so in a mixture."""
        return f"{self.size}-{self.budget.name}-seed{self.seed}"

    @property
    def shape(self) -> ModelShape:
        return read_llama_config(Path(self.checkpoint.path)).shape if self.checkpoint else PRESETS[self.size]

    def vocab_size(self, of_tokenizer: int) -> int:
        """A checkpoint may have more rows than its tokenizer has tokens."""
        return read_llama_config(Path(self.checkpoint.path)).vocab_size if self.checkpoint else of_tokenizer

    def budget_tokens(self, vocab_size: int, sequence_length: int) -> int:
        return self.budget.tokens(self.shape, vocab_size, sequence_length)


class Ladder(Frozen):
    """Model sizes x token budgets x seeds."""

    sizes: Annotated[tuple[str, ...], Field(min_length=1)] = Field(description="names of presets, smallest first; and of checkpoints")
    checkpoints: dict[Name, Checkpoint] = Field(
        default={}, description="by name: trained models that runs start from (continual pretraining), with the study's tokenizer"
    )
    tokens_per_parameter: Annotated[tuple[PositiveFloat, ...], Field(min_length=1)] | None = Field(
        default=None, description="token budgets, as multiples of the parameters of each size (embeddings included once); 20 is Chinchilla's"
    )
    budget_tokens: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] | None = Field(
        default=None, description="or: budgets in tokens, the same for each size"
    )
    train_flops: Annotated[tuple[PositiveFloat, ...], Field(min_length=1)] | None = Field(
        default=None, description="or: budgets in FLOPs of training, attention included: an isoFLOP ladder"
    )
    seeds: Annotated[tuple[int | Seeds, ...], Field(min_length=1)] = Field(
        description="a number seeds both initialisation and data order; {seed: 3, initialization: 1, data: 2} tells them apart"
    )
    snapshots: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(
        default=(), description="shares of a run's budget after which its model is kept and evaluated, beside the one at the end"
    )

    def runs(self) -> tuple[LadderRun, ...]:
        """All runs, smallest first."""
        seeds = map(Seeds.of, self.seeds)
        rungs = product(self.sizes, self.budgets, seeds)
        return tuple(LadderRun(size=size, budget=b, seeds=s, checkpoint=self.checkpoints.get(size)) for size, b, s in rungs)

    @property
    def budgets(self) -> tuple[Budget, ...]:
        """Smallest first."""
        unit = budget_unit(self, "ladder")
        return tuple(Budget(unit=unit, value=value) for value in sorted(getattr(self, unit)))

    @model_validator(mode="after")
    def _sizes_exist_in_order(self) -> Self:
        known = [*PRESETS, *self.checkpoints]
        if both := PRESETS.keys() & self.checkpoints.keys():
            raise ValueError(f"checkpoints.{min(both)} has the name of a preset: give it another")
        for size in self.sizes:
            if size not in known:
                raise ValueError(f"size '{size}' is not known{nearest(size, known)}; known are {', '.join(known)}")
        order = sorted(set(self.sizes), key=known.index)
        if list(self.sizes) != order:
            raise ValueError(f"sizes must be named once, smallest first: {', '.join(order)}")
        names = [run.name for run in self.runs()]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(
                f"{budget_unit(self, 'ladder')} and seeds make two runs of one name, '{twice}': name each value once, with at most 6 digits"
            )
        return self


def num_params_non_embedding(shape: ModelShape) -> int:
    """Parameters of all layers and norms; embedding and language-model head are left out."""
    attention = 2 * shape.d_model * shape.d_model + 2 * shape.d_model * shape.d_kv
    feed_forward = 3 * shape.d_model * shape.d_ff
    norms = 2 * shape.d_model
    return shape.num_layers * (attention + feed_forward + norms) + shape.d_model


def num_params(shape: ModelShape, vocab_size: int) -> int:
    """All parameters: what a checkpoint holds. A tied embedding counts once, an untied head counts."""
    return num_params_non_embedding(shape) + vocab_size * shape.d_model * (1 if shape.tied_embeddings else 2)


def forward_flops_per_token(shape: ModelShape, vocab_size: int, sequence_length: int) -> int:
    """Exact FLOPs of the forward pass' matrix multiplications per token, attention included (arXiv 2203.15556 appendix F, without its softmax and
    embedding look-up, which multiply no matrices; the causal mask is not discounted, as in PaLM, arXiv 2204.02311 appendix B)."""
    projections = 2 * (2 * shape.d_model * shape.d_model + 2 * shape.d_model * shape.d_kv)
    attention = 2 * 2 * sequence_length * shape.d_model  # query x keys, probabilities x values
    feed_forward = 2 * 3 * shape.d_model * shape.d_ff
    logits = 2 * shape.d_model * vocab_size
    return shape.num_layers * (projections + attention + feed_forward) + logits


def train_flops(shape: ModelShape, vocab_size: int, sequence_length: int, tokens: int) -> int:
    """Forward and backward over `tokens`; the backward pass costs twice the forward (arXiv 2203.15556 appendix F)."""
    return 3 * forward_flops_per_token(shape, vocab_size, sequence_length) * tokens
