"""Where a study is trained. In a file of its own, so that what runs are made of (`training_plan.py`) does not change with it."""

from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt

from models.frozen import Frozen


class Hardware(Frozen):
    """Where a study is trained. No part of any identity: the same run on other hardware is the same run."""

    ranks: PositiveInt = Field(default=2, description="processes per host: one per GPU, or CPU ranks over gloo; a divisor of every batch's sequences")
    hostfile: str | None = Field(default=None, description="DeepSpeed host file, for several machines")
    zero_stage: Literal[0, 1, 2, 3] = Field(
        default=0, description="what ranks share out (ZeRO, arXiv 1910.02054): 0 nothing, 1 the optimizer's state, 2 gradients too, 3 parameters too"
    )
    micro_batch_sequences: PositiveInt = Field(default=16, description="sequences per rank and forward pass, at most")
    checkpoint_every_seconds: PositiveFloat = Field(default=60, description="what a killed run loses, at most")
    checkpoints_kept: PositiveInt = Field(default=2, description="of a run that trains, the newest; a damaged one is passed over for the one before")
    activation_checkpointing: bool = Field(
        default=False, description="computes activations anew in the backward pass (arXiv 1604.06174): less memory, a third more FLOPs, the same bits"
    )
    hang_seconds: PositiveFloat = Field(default=600, description="without a step of any rank, after which all of them are ended")
    peak_tflops: PositiveFloat | None = Field(
        default=None,
        description="of one rank, in 10^12 FLOPs per second, for MFU; when absent what is known of the GPU in bf16, and no MFU elsewhere",
    )
    price_per_gpu_hour: PositiveFloat | None = Field(
        default=None, description="of one rank for an hour, in any currency: `assay plan` then says what it costs"
    )
    workers: PositiveInt | None = Field(default=None, description="processes for data work; all cores when absent")
    runner: Literal["local", "dask", "ray"] = Field(
        default="local", description="where the shards of a curation are worked on: processes of this machine, or workers of a cluster"
    )
    cluster: str | None = Field(
        default=None,
        description="address of a Dask scheduler (tcp://head:8786) or of a Ray head (head:6379), whose workers see the study's files under the same"
        " path; when absent, `workers` are started on this machine",
    )
