"""Makes the small models and the table in `files/`, to which the cases of some steps point: `python -m tests.golden.make_files`, once and for all.

Torch's and fastText's initial weights may differ between versions, what is made of given weights may not: so the files are kept, not made anew.
"""

import random
from typing import Any

import polars as pl
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import BertConfig, BertForSequenceClassification, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from models.quality_classifier import ClassifierConfig, fit
from tests.golden.step_cases import FILES, FIRST, ITEMS, LIKE_EDITED, TEXTS, WORDS, corpus

SHAPE: dict[str, Any] = {"hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "max_position_embeddings": 16}


def make_files() -> None:
    torch.manual_seed(0)
    words = sorted({"[PAD]", "[UNK]", *WORDS})
    shape: dict[str, Any] = {**SHAPE, "vocab_size": len(words)}
    labels: dict[str, Any] = {"id2label": {0: "bad", 1: "good"}, "label2id": {"bad": 0, "good": 1}}
    tokens = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokens.pre_tokenizer = pre_tokenizers.Whitespace()
    made = {
        "classifier": BertForSequenceClassification(BertConfig(**shape, **labels, initializer_range=0.5)),
        "lm": LlamaForCausalLM(LlamaConfig(**shape, num_key_value_heads=2, initializer_range=0.5)),
    }
    for name, model in made.items():
        model.save_pretrained(FILES / name)
        PreTrainedTokenizerFast(tokenizer_object=tokens, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(FILES / name)
    reference, other = ([text for text in LIKE_EDITED if text.endswith(kind)] for kind in ("reference", "noise"))
    config = ClassifierConfig(dimensions=4, buckets=100, min_word_count=1, epochs=10, learning_rate=0.5)
    fit({"reference": reference}, other, [""] * len(other), config, 0)[0].save_model(str(FILES / "reference.bin"))
    draw = random.Random(0)
    rows = []
    for id, text in zip(corpus()["id"].to_pylist(), TEXTS, strict=True):
        losses = [3, 2, 1] if text.endswith("reference") else draw.choice([[1, 2, 3], [2, 1, 3], [1, 3, 2], [3, 1, 2]])
        rows += [{"id": id, "model": model, "loss": loss} for model, loss in zip(("small", "middle", "large"), losses, strict=True)]
    pl.DataFrame(rows).write_csv(FILES / "losses.csv")
    programs = ["remove_lines(0, 0)", "keep_doc()", "normalize('the', 'that')", "drop_doc()", "import os", "remove_lines(1, 2)\nnormalize(' ', '  ')"]
    written = [{"id": id, "program": programs[i % len(programs)]} for i, id in enumerate(corpus()["id"].to_pylist()) if i % 5]
    pl.DataFrame(written).write_ndjson(FILES / "programs.jsonl")
    words = FIRST.replace(".", "").split()  # questions that some documents hold: in part, whole, and one that is too short to judge
    prompts = [" ".join(words[:20]), f"{' '.join(words[3:12])} and then something else entirely that nobody wrote", "the river and its old"]
    choices = [" ".join(words[20:24]), "no"]
    pl.DataFrame([{"prompt": prompt, "choices": choices, "answer": 0} for prompt in prompts]).write_ndjson(FILES / ITEMS)


if __name__ == "__main__":
    make_files()
