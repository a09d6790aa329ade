"""The shape of a proxy transformer."""

from typing import Self

from pydantic import PositiveFloat, PositiveInt, model_validator

from models.frozen import Frozen


class ModelShape(Frozen):
    """The shape of one proxy transformer (all but the vocabulary, which comes from the study's tokenizer)."""

    num_layers: PositiveInt
    d_model: PositiveInt
    num_heads: PositiveInt
    num_kv_heads: PositiveInt
    d_ff: PositiveInt
    tied_embeddings: bool = True
    rope_base: PositiveFloat = 10_000.0  # arXiv 2104.09864 section 3.2.2
    norm_epsilon: PositiveFloat = 1e-5

    @property
    def d_head(self) -> int:
        return self.d_model // self.num_heads

    @property
    def d_kv(self) -> int:
        return self.num_kv_heads * self.d_head

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.d_model % (2 * self.num_heads):  # RoPE turns pairs
            raise ValueError(f"d_model {self.d_model} must be a multiple of twice num_heads {self.num_heads}")
        if self.num_heads % self.num_kv_heads:
            raise ValueError(f"num_heads {self.num_heads} must be a multiple of num_kv_heads {self.num_kv_heads}")
        return self
