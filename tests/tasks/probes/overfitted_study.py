"""A study whose one run has read half of its corpus, again and again until it knows it by heart. Text is random: what wasn't read can't be guessed.

The folder of the study is the current directory.
"""

import json
import random

import numpy as np
import pyarrow as pa
import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from models.token_stream import TokenStream
from tasks import layout
from tasks.benchmarks.items import Document
from tasks.documents import DOCUMENT_SCHEMA, write_shards
from tasks.run_directory import RunResult
from tasks.tokenize_corpus import load_tokens, tokenize_corpus
from tasks.train_tokenizer import train_bpe
from tests.tasks.sample_run import run_result

MIXTURE, RECIPE, RUN = "raw-natural", "raw", "50k-1x-seed1"
CONTEXT = 64
END_OF_TEXT = 0
TRAINING_STEPS, LEARNING_RATE = 100, 1e-2
SYLLABLES = ("ka", "lo", "mi", "tu", "re", "so", "ban", "dir", "fel", "gun", "hax", "jon", "qi", "wen", "zup", "yar")


def documents(domain: str, count: int, seed: int) -> list[Document]:
    """Of random words; dated one year after the other from 2000 on."""
    chance = random.Random(f"{domain}/{seed}")

    def word() -> str:
        return "".join(chance.choices(SYLLABLES, k=chance.randint(1, 3)))

    made = []
    for number in range(count):
        text = " ".join(word() for _ in range(chance.randint(9, 14))) + "."
        made.append(Document(f"{domain}:{seed}:{number:03}", domain, text, date=f"{2000 + number % 4}-05-06"))
    return made


def write(directory, some_documents: list[Document], shard_bytes: int = 1 << 20) -> None:
    rows = [{**document._asdict(), "source": document.domain} for document in some_documents]
    write_shards(directory, [pa.Table.from_pylist(rows, schema=DOCUMENT_SCHEMA)], DOCUMENT_SCHEMA, shard_bytes)


def write_study(study) -> tuple[RunResult, LlamaForCausalLM, PreTrainedTokenizerFast]:
    """The run with its model beside it, its corpus as text and as tokens, and held-out documents."""
    domains: tuple[str, ...] = ("letters", "poems")
    write(layout.HELDOUT, [document for domain in domains for document in documents(domain, 40, seed=1)])
    write(layout.kept(RECIPE), [document for domain in domains for document in documents(domain, 60, seed=2)])
    texts = (document.text for domain in domains for document in documents(domain, 60, seed=2))
    tokenizer = train_bpe(texts, vocab_size=320)
    tokenizer.save_pretrained(layout.TOKENIZER)
    manifest = tokenize_corpus(study, RECIPE)
    corpus = load_tokens(layout.TOKENS / RECIPE)
    weights: dict[str, float] = dict.fromkeys(domains, 0.5)
    num_sequences = sum(tokens.tokens for tokens in manifest.domains.values()) // CONTEXT // 2
    stream = TokenStream(corpus.tokens_by_domain, weights, CONTEXT, num_sequences, seed=1)
    result = run_result(
        MIXTURE,
        RUN,
        num_params=50_000,
        tokens=num_sequences * CONTEXT,
        batch_tokens=CONTEXT,
        weights_by_domain=weights,
        unique_tokens_by_domain={domain: tokens.tokens for domain, tokens in manifest.domains.items()},
        tokens_by_domain=stream.tokens_by_domain(num_sequences),
        tokens_md5_by_domain=manifest.md5_by_domain,
        epochs_by_domain=stream.epochs_by_domain(num_sequences),
    )
    directory = layout.RUNS / MIXTURE / RUN
    directory.mkdir(parents=True)
    (directory / "result.json").write_text(json.dumps(result.model_dump()))
    trained = overfit(stream.sequences(0, num_sequences))
    trained.save_pretrained(directory / "model")
    tokenizer.save_pretrained(directory / "model")
    return result, trained, tokenizer  # type: ignore[return-value]


def untrained() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=320,
        hidden_size=48,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT,
        initializer_range=0.1,
        tie_word_embeddings=True,
        bos_token_id=END_OF_TEXT,
        eos_token_id=END_OF_TEXT,
    )
    return LlamaForCausalLM(config).eval()


def overfit(sequences: np.ndarray) -> LlamaForCausalLM:
    """On the documents that begin in sequences [S, CONTEXT + 1], each behind its end-of-text token, all of them in every step."""
    pieces = [piece for row in sequences for piece in np.split(row, np.flatnonzero(row == END_OF_TEXT)) if len(piece) > 1 and piece[0] == END_OF_TEXT]
    tokens = torch.full((len(pieces), max(map(len, pieces))), END_OF_TEXT)
    for row, piece in zip(tokens, pieces, strict=True):
        row[: len(piece)] = torch.from_numpy(piece)
    model = untrained()
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.0, betas=(0.9, 0.95))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=TRAINING_STEPS)
    for _ in range(TRAINING_STEPS):
        loss = torch.nn.functional.cross_entropy(model(tokens[:, :-1]).logits.flatten(0, 1), tokens[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return model.eval()
