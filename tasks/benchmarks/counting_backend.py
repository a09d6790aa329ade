"""lm-eval's backend for Hugging Face models that are already loaded, made strict."""

from typing import Any

from lm_eval.models import huggingface

from models.frozen import StudyError

HFLM: Any = huggingface.HFLM  # the decorator that registers it hides its type


class CountingHFLM(HFLM):
    """Notes which prompts are cut on the left to fit the context, and refuses what can't be scored (where HFLM has bare assertions)."""

    def __init__(self, **arguments: Any):
        super().__init__(**arguments)
        self.truncated: set[tuple[str, str]] = set()  # (prompt, continuation)

    def loglikelihood(self, requests: list[Any], disable_tqdm: bool = True) -> Any:
        return super().loglikelihood(requests, disable_tqdm=disable_tqdm)

    def _loglikelihood_tokens(self, requests: list[tuple[tuple[str, str], list[int], list[int]]], *args: Any, **kwargs: Any) -> Any:
        for texts, prompt_ids, continuation_ids in requests:
            if not continuation_ids:
                raise StudyError(f"The choice {texts[1]!r} behind the prompt {texts[0][-80:]!r} has no tokens: mend or remove the item.")
            if len(continuation_ids) > self.max_length:
                raise StudyError(
                    f"The choice {texts[1][:80]!r} has {len(continuation_ids)} tokens, more than the context of {self.max_length}: leave out its"
                    " benchmark, or train with a longer training.sequence_length."
                )
            if len(prompt_ids) + len(continuation_ids) > self.max_length + 1:  # the last token is predicted, never read
                self.truncated.add(texts)
        return super()._loglikelihood_tokens(requests, *args, **kwargs)
