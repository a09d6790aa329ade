"""Items per second of our lm-eval backend and of lm-eval's own for Hugging Face models, at the same model, items and batch (`make bench-eval`).

The text is this checkout's own. Exits with 1 when likelihoods differ by more than 1e-4, or when ours is slower over all kinds of items together.
"""

import argparse
import os
import random
import sys
import time
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from tasks.benchmarks import harness  # noqa: F401 - it calms lm-eval's log
from tasks.benchmarks.counting_backend import HFLM, CountingHFLM
from tasks.train_tokenizer import train_bpe
from tests.conftest import PROJECT

TOLERANCE = 1e-4
ROUNDS = 5  # the best counts: the machine may be busy with something else
Requests = list[Any]  # what lm-eval asks: `.args` is (prompt, continuation)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=16, help="sequences per forward pass")
    parser.add_argument("--items", type=int, default=100, help="of each kind")
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--vocabulary", type=int, default=4096)
    asked = parser.parse_args(arguments)
    os.environ |= {"TQDM_DISABLE": "1", "TOKENIZERS_PARALLELISM": "false"}
    texts = [
        path.read_text(encoding="utf-8") for pattern in ("tasks/**/*.py", "models/**/*.py", "docs/*.md") for path in sorted(PROJECT.glob(pattern))
    ]
    tokenizer = train_bpe(iter(texts), vocab_size=asked.vocabulary)
    model: Any = random_model(asked.hidden, asked.layers, asked.vocabulary)
    model = model.to("cuda" if torch.cuda.is_available() else "cpu")
    backends = {kind: kind(pretrained=model, tokenizer=tokenizer, batch_size=asked.batch) for kind in (HFLM, CountingHFLM)}
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters on {model.device}, batch {asked.batch}, {torch.get_num_threads()} threads")
    print(f"{'items':24} {'lm-eval/s':>10} {'ours/s':>10} {'ratio':>6} {'difference':>11}")
    seconds = dict.fromkeys(backends, 0.0)
    worst = 0.0
    for name, make in KINDS.items():
        requests = make(texts, random.Random(name), asked.items)
        best, likelihoods = timed(backends, requests)
        worst = max(worst, difference := max(abs(a[0] - b[0]) for a, b in zip(*likelihoods, strict=True)))
        theirs, ours = (asked.items / best[kind] for kind in (HFLM, CountingHFLM))
        print(f"{name:24} {theirs:10.1f} {ours:10.1f} {ours / theirs:6.2f} {difference:11.1e}")
        seconds = {kind: seconds[kind] + best[kind] for kind in seconds}
    print(f"{'together':24} {'':10} {'':10} {seconds[HFLM] / seconds[CountingHFLM]:6.2f} {worst:11.1e}")
    return int(worst > TOLERANCE or seconds[CountingHFLM] > seconds[HFLM])


def random_model(hidden: int, layers: int, vocabulary: int) -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=hidden,
        intermediate_size=hidden * 8 // 3,
        num_hidden_layers=layers,
        num_attention_heads=max(1, hidden // 32),
        num_key_value_heads=max(1, hidden // 32),
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=0,
    )
    return LlamaForCausalLM(config).eval()


def timed(backends: dict[Any, Any], requests: Requests) -> tuple[dict[Any, float], list[list[tuple[float, bool]]]]:
    """The best of several rounds by backend, in turns, and what each found."""
    best = dict.fromkeys(backends, float("inf"))
    found = {}
    for _ in range(ROUNDS):
        for kind, backend in backends.items():
            started = time.perf_counter()
            found[kind] = backend.loglikelihood(requests, disable_tqdm=True)
            best[kind] = min(best[kind], time.perf_counter() - started)
    return best, list(found.values())


def choices(prompt_characters: int, choice_characters: int) -> Callable[[list[str], random.Random, int], Requests]:
    """Items of four choices: what stands behind a piece of text, and three pieces from elsewhere."""

    def make(texts: list[str], chance: random.Random, num_items: int) -> Requests:
        def piece(characters: int) -> str:
            text = chance.choice([text for text in texts if len(text) > characters])
            start = chance.randrange(len(text) - characters)
            return text[start : start + characters].strip() or "x"

        prompts = [piece(prompt_characters) for _ in range(num_items)]
        return [SimpleNamespace(args=(prompt, " " + piece(choice_characters))) for prompt in prompts for _ in range(4)]

    return make


def last_words(texts: list[str], chance: random.Random, num_items: int) -> Requests:
    """One continuation of one word behind each prompt, as in LAMBADA."""
    passages = [text.split()[:60] for text in chance.choices(texts, k=num_items)]
    return [SimpleNamespace(args=(f"{number} " + " ".join(words[:-1]), f" {words[-1]}")) for number, words in enumerate(passages)]


KINDS = {
    "choices, long prompts": choices(800, 60),  # as in boolq, sciq or a few-shot prompt
    "choices, middling prompts": choices(250, 60),  # hellaswag, arc
    "choices, short prompts": choices(20, 100),  # definition-choice
    "last words": last_words,
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
