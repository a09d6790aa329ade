"""Continuations of prompts of one length, batched and with cached keys and values.

Shape suffixes: P prompts, L tokens of a prompt, T tokens of a continuation.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers import GenerationConfig

from models.frozen import StudyError

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@torch.inference_mode()
def generate(
    model: "PreTrainedModel",
    prompts_PL: np.ndarray,
    num_tokens: int,
    end_of_text: int,
    batch_sequences: int,
    temperature: float | None = None,
    seed: int = 0,
) -> np.ndarray:
    """int64 [P, T]: the likeliest token each time, or sampled by `seed` at a temperature. Behind an end-of-text there are only more of it."""
    how: dict[str, Any] = {"do_sample": False} if temperature is None else {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0}
    config = GenerationConfig(max_new_tokens=num_tokens, eos_token_id=end_of_text, pad_token_id=end_of_text, use_cache=True, **how)
    found_PT = np.full((len(prompts_PL), num_tokens), end_of_text, dtype=np.int64)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for start in range(0, len(prompts_PL), batch_sequences):
            prompts = torch.from_numpy(prompts_PL[start : start + batch_sequences]).to(model.device)
            whole: Any = model.generate(prompts, attention_mask=torch.ones_like(prompts), generation_config=config)  # type: ignore[operator]
            continuation = whole[:, prompts.shape[1] :].cpu().numpy()
            found_PT[start : start + len(prompts), : continuation.shape[1]] = continuation
    return found_PT


def refuse_beyond_context(probe: str, prompt_tokens: int, continuation_tokens: int, context: int) -> None:
    """The last token is told, never read; an end-of-text stands before the prompt.

    Raises:
        StudyError: when they don't fit.
    """
    if prompt_tokens + continuation_tokens > context:
        raise StudyError(
            f"evaluation.probes.{probe} asks for prompts of {prompt_tokens} tokens and continuations of {continuation_tokens}, together more than the"
            f" models' context of {context}: lower prompt_tokens or continuation_tokens, or train with a longer training.sequence_length."
        )
