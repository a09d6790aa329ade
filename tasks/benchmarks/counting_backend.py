"""lm-eval's backend for Hugging Face models that are already loaded, made strict and faster."""

from typing import Any

from lm_eval.models import huggingface

from models.frozen import StudyError
from tasks.benchmarks.shared_prompts import log_likelihoods

HFLM: Any = huggingface.HFLM  # the decorator that registers it hides its type


class CountingHFLM(HFLM):
    """Notes which prompts are cut on the left to fit the context, and refuses what can't be scored (where HFLM has bare assertions)."""

    def __init__(self, **arguments: Any):
        self.truncated: set[tuple[str, str]] = set()  # (prompt, continuation)
        self.encodings: dict[tuple[str, bool | None], list[int]] = {}
        super().__init__(**arguments)

    def loglikelihood(self, requests: list[Any], disable_tqdm: bool = True) -> Any:
        for request in requests:
            if not request.args[1]:
                raise StudyError(no_tokens(*request.args))
        likelihoods = super().loglikelihood(requests, disable_tqdm=disable_tqdm)
        self.encodings.clear()
        return likelihoods

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **arguments: Any) -> list[int]:
        """A prompt is asked for with each of its choices, and tokenized once."""
        key = (string, add_special_tokens)
        if arguments or key not in self.encodings:
            self.encodings[key] = super().tok_encode(string, add_special_tokens, **arguments)
        return self.encodings[key]

    def _loglikelihood_tokens(self, requests: list[tuple[tuple[str, str], list[int], list[int]]], *_: Any, **__: Any) -> list[tuple[float, bool]]:
        for texts, prompt_ids, continuation_ids in requests:
            if not continuation_ids:
                raise StudyError(no_tokens(*texts))
            if len(continuation_ids) > self.max_length:
                raise StudyError(
                    f"The choice {texts[1][:80]!r} has {len(continuation_ids)} tokens, more than the context of {self.max_length}: leave out its"
                    " benchmark, or train with a longer training.sequence_length."
                )
            if len(prompt_ids) + len(continuation_ids) > self.max_length + 1:  # the last token is predicted, never read
                self.truncated.add(texts)
        return log_likelihoods(self.model, [request[1:] for request in requests], self.max_length, int(self.batch_size))


def no_tokens(prompt: str, choice: str) -> str:
    return f"The choice {choice!r} behind the prompt {prompt[-80:]!r} has no tokens: mend or remove the item."
