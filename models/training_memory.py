"""How much memory a run's training takes, by what holds it: to refuse one that can't fit before anything is started."""

from models.frozen import Frozen
from models.hardware import Hardware
from models.ladder import ModelShape, num_params

FP32, BF16 = 4, 2  # bytes
MOMENTS = 2  # of AdamW
PROCESS_BYTES = 400 << 20  # PyTorch and DeepSpeed themselves, per rank: those of tiny models had 325 to 440 MB resident


class TrainingMemory(Frozen):
    """In bytes, of one rank."""

    parameters: int  # and their gradients
    optimizer: int
    activations: int  # of one micro-batch
    process: int = PROCESS_BYTES

    @property
    def total(self) -> int:
        return self.parameters + self.optimizer + self.activations + self.process


def training_memory(
    shape: ModelShape, vocab_size: int, sequence_length: int, precision: str, hardware: Hardware, micro_sequences: int
) -> TrainingMemory:
    """An estimate. ZeRO shares out the optimizer's state from stage 1 on, gradients from 2, parameters from 3 (arXiv 1910.02054, section 5); in bf16
    the optimizer holds weights in fp32 too. Kept for the backward pass, per token and layer: inputs of the norms and projections, attention's
    queries, keys, values and output, the feed-forward's three products. The loss holds one chunk of logits (models/proxy_lm.py), which is small."""
    size = num_params(shape, vocab_size)
    shares = [hardware.ranks if hardware.zero_stage >= stage else 1 for stage in (1, 2, 3)]
    weight_bytes = BF16 if precision == "bf16" else FP32
    states = MOMENTS + (precision == "bf16")
    per_token = shape.num_layers * (8 * shape.d_model + 2 * shape.d_kv + 3 * shape.d_ff) + 2 * shape.d_model
    return TrainingMemory(
        parameters=size * weight_bytes // shares[2] + size * FP32 // shares[1],
        optimizer=size * FP32 * states // shares[0],
        activations=micro_sequences * sequence_length * per_token * weight_bytes,
    )
