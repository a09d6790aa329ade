"""The ladder: names of sizes -> shapes, parameters and FLOPs per token."""

from typing import Annotated

from pydantic import Field, PositiveInt

from models.frozen import Frozen


class ModelShape(Frozen):
    """The shape of one proxy transformer (all but the vocabulary, which comes from the study's tokenizer)."""

    num_layers: PositiveInt
    d_model: PositiveInt
    num_heads: PositiveInt
    num_kv_heads: PositiveInt
    d_ff: PositiveInt
    tied_embeddings: bool = True


class Ladder(Frozen):
    """Model sizes x token budgets x seeds."""

    sizes: Annotated[tuple[str, ...], Field(min_length=1)] = Field(description="names of presets, smallest first")
    tokens_per_parameter: Annotated[tuple[float, ...], Field(min_length=1)] = Field(
        description="token budgets, as multiples of the parameters of each size (embeddings included once)"
    )
    seeds: Annotated[tuple[int, ...], Field(min_length=1)] = Field(description="each seeds both initialisation and data order")
