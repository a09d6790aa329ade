"""A tiny study after training: held-out documents, a tokenizer, and random models that a test can evaluate in milliseconds."""

import json
import random
from pathlib import Path

import pyarrow as pa
import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from tasks import layout
from tasks.benchmarks.items import Document
from tasks.documents import DOCUMENT_SCHEMA, write_shards
from tasks.run_directory import RunResult
from tasks.train_tokenizer import train_bpe

MIXTURE = "raw-natural"
SYLLABLES = ("ka", "lo", "mi", "tu", "re", "so", "ban", "dir", "fel", "gun", "hax", "über", "jó", "qi", "wen", "zup")


def documents() -> list[Document]:
    """Of a dictionary, an encyclopedia, and code whose documents are longer than a context; by id, as they are read."""
    chance = random.Random(7)
    made = [Document(f"dictionary:{i:02}", "dictionary", f"{words(chance, 1)}{i}\n\n{words(chance, chance.randint(3, 30))}.") for i in range(24)]
    made += [
        Document(f"encyclopedia:{i:02}", "encyclopedia", f"{words(chance, 2)} {i}\n\n{words(chance, chance.randint(20, 60))}.") for i in range(12)
    ]
    made += [Document(f"code:{i}", "code", "\n".join(f"{words(chance, 1)} = f({words(chance, 2)})" for _ in range(25))) for i in range(3)]
    return sorted(made)


def words(chance: random.Random, count: int) -> str:
    return " ".join("".join(chance.choices(SYLLABLES, k=chance.randint(1, 3))) for _ in range(count))


def tokenizer() -> PreTrainedTokenizerFast:
    return train_bpe(iter(document.text for document in documents()), vocab_size=320)  # type: ignore[return-value]


def model(seed: int = 0, context: int = 64) -> LlamaForCausalLM:
    """Random, but far from uniform: its weights are ten times as large as at a usual initialisation."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=320,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=context,
        initializer_range=0.2,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=0,
    )
    return LlamaForCausalLM(config).eval()


def export(directory: Path, seed: int = 0, context: int = 64) -> Path:
    model(seed, context).save_pretrained(directory)
    tokenizer().save_pretrained(directory)
    return directory


def write_heldout() -> None:
    rows = [{**document._asdict(), "source": document.domain} for document in documents()]
    write_shards(layout.HELDOUT, [pa.Table.from_pylist(rows, schema=DOCUMENT_SCHEMA)], DOCUMENT_SCHEMA)


def write_run(seed: int, status: str = "completed") -> Path:
    result = {
        "run_key": f"{seed:016x}",
        "run": f"30k-1x-seed{seed}",
        "mixture": MIXTURE,
        "recipe": "raw",
        "size": "30k",
        "seed": seed,
        "initialization_seed": seed,
        "data_seed": seed,
        "status": status,
        "num_params": 30_000 + seed,
        "num_params_non_embedding": 20_000,
        "budget_tokens": 30_000,
        "tokens_seen": 29_000,
        "target_steps": 3,
        "steps": 3,
        "train_flops": 5.4e8,
        "final_train_loss": 5.5 if status == "completed" else None,
        "learning_rate": 0.01,
        "batch_tokens": 1000,
        "weights_by_domain": {"code": 1.0},
        "tokens_by_domain": {"code": 29_000},
        "unique_tokens_by_domain": {"code": 30_000},
        "tokens_md5_by_domain": {"code": "c0de"},
        "epochs_by_domain": {"code": 1.0},
    }
    directory = layout.RUNS / MIXTURE / f"30k-1x-seed{seed}"
    directory.mkdir(parents=True)
    (directory / "result.json").write_text(json.dumps(RunResult.model_validate(result).model_dump()))
    (directory / "metrics.jsonl").write_text("")  # its curve: of no interval
    return directory
