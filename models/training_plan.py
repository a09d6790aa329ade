"""Size and budget -> steps, batch, learning rate, schedule. Every derived value is a numbered step with its source."""

from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt

from models.frozen import Frozen


class TrainingConfig(Frozen):
    """How every run of the study is trained. Part of a run's identity (hardware is not: `Hardware`)."""

    sequence_length: PositiveInt = Field(256, description="tokens")
    batch_tokens: PositiveInt | Literal["step-law"] = Field("step-law", description="tokens per optimizer step, all ranks together")
    learning_rate: PositiveFloat | Literal["step-law"] = Field("step-law", description="peak learning rate")
    schedule: Literal["cosine", "wsd"] = "cosine"
    warmup_share: float = Field(0.05, ge=0, lt=1, description="of the steps")
    decay_share: float = Field(0.2, gt=0, le=1, description="of the steps, at the end, for wsd")
    final_learning_rate_share: float = Field(0.1, ge=0, le=1, description="of the peak")
    weight_decay: float = Field(0.1, ge=0)
    adam_beta1: float = Field(0.9, ge=0, lt=1)
    adam_beta2: float = Field(0.95, ge=0, lt=1)
    gradient_clip: PositiveFloat = 1.0
    precision: Literal["fp32", "bf16"] = "fp32"


class Hardware(Frozen):
    """Where a study is trained. No part of any identity: the same run on other hardware is the same run."""

    ranks: PositiveInt = Field(2, description="processes per host: one per GPU, or CPU ranks over gloo")
    hostfile: str | None = Field(None, description="DeepSpeed host file, for several machines")
    zero_stage: Literal[0, 1, 2, 3] = 0
    micro_batch_sequences: PositiveInt = Field(16, description="sequences per rank and forward pass, at most")
    checkpoint_every_seconds: PositiveFloat = 60
    workers: PositiveInt | None = Field(None, description="processes for data work; all cores when absent")
