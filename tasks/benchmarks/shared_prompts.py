"""Log-likelihoods of continuations; what is asked behind one prompt shares one pass over it, where that saves work.

Right-padded rows of similar length, each a prompt and a continuation, or several one behind the other: a continuation sees the prompt and itself, at
the positions that it would have alone. Logits are taken only where a token is scored.

Shape suffixes: R rows of a batch, L length of the longest, Q queries and K keys (both L), D d_model, S scored tokens.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch
import torch.nn.functional as F

if TYPE_CHECKING:
    from transformers import PreTrainedModel

LOGITS_AT_ONCE = 1 << 20  # elements of one chunk of logits: 4 MB stay in a core's cache
PADDING = -1  # the segment of what is no token; 0 is the prompt's

Tokens = tuple[int, ...]


@dataclass(frozen=True)
class Row:
    prompt: Tokens
    continuations: list[tuple[int, Tokens]]  # (index among the distinct requests, tokens)

    @property
    def shared(self) -> bool:
        return len(self.continuations) > 1

    @property
    def length(self) -> int:
        return len(self.prompt) + sum(len(tokens) - 1 for _, tokens in self.continuations)  # the last token is predicted, never read


@dataclass(frozen=True)
class Batch:
    inputs_RL: torch.Tensor
    positions_RL: torch.Tensor | None  # None: from 0 on, causally
    segments_RL: torch.Tensor | None
    rows_S: torch.Tensor  # where the next token is scored
    columns_S: torch.Tensor
    targets_S: torch.Tensor
    requests_S: torch.Tensor  # index of the request of each scored token


@torch.inference_mode()
def log_likelihoods(
    model: "PreTrainedModel", requests: Sequence[tuple[Sequence[int], Sequence[int]]], context: int, batch_rows: int
) -> list[tuple[float, bool]]:
    """Of each (prompt, continuation), in tokens: nats, and whether every token is the likeliest. A prompt that does not fit is cut on the left."""
    fitting = [(tuple(prompt[-(context + 1 - len(continuation)) :]), tuple(continuation)) for prompt, continuation in requests]
    index = {request: number for number, request in enumerate(dict.fromkeys(fitting))}
    nats = torch.zeros(len(index), dtype=torch.float64)
    misses = torch.zeros(len(index), dtype=torch.long)
    for batch in batches(rows_of(index), batch_rows):
        nats_S, hits_S = score(model, batch)
        nats.index_add_(0, batch.requests_S, nats_S)
        misses.index_add_(0, batch.requests_S, (~hits_S).long())
    found = list(zip(nats.tolist(), (misses == 0).tolist(), strict=True))
    return [found[index[request]] for request in fitting]


def rows_of(index: dict[tuple[Tokens, Tokens], int]) -> Iterator[Row]:
    """One row for all requests of a prompt where attention, which costs the square of a row's length, costs no more than in a row for each. Whatever
    else a model computes then costs less: at k equal continuations the prompt is at least sqrt(k) times as long as one of them."""
    by_prompt: dict[Tokens, list[tuple[int, Tokens]]] = {}
    for (prompt, continuation), number in index.items():
        by_prompt.setdefault(prompt, []).append((number, continuation))
    for prompt, continuations in by_prompt.items():
        together, apart = Row(prompt, continuations), [Row(prompt, [continuation]) for continuation in continuations]
        yield from [together] if together.length**2 <= sum(row.length**2 for row in apart) else apart


def batches(rows: Iterator[Row], batch_rows: int) -> Iterator[Batch]:
    """By length, longest first; shared rows apart, because only they need a mask."""
    ordered = sorted(rows, key=lambda row: (row.shared, -row.length))
    num_plain = sum(not row.shared for row in ordered)
    for alike in (ordered[:num_plain], ordered[num_plain:]):
        for start in range(0, len(alike), batch_rows):
            yield make_batch(alike[start : start + batch_rows])


def make_batch(rows: Sequence[Row]) -> Batch:
    longest = max(row.length for row in rows)
    inputs, positions, segments = ([] for _ in range(3))
    scored: list[tuple[int, int, int, int]] = []
    for number, row in enumerate(rows):
        row_inputs, row_positions, row_segments = list(row.prompt), list(range(len(row.prompt))), [0] * len(row.prompt)
        for segment, (request, tokens) in enumerate(row.continuations, 1):
            columns = (len(row.prompt) - 1, *range(len(row_inputs), len(row_inputs) + len(tokens) - 1))
            scored += [(number, column, target, request) for column, target in zip(columns, tokens, strict=True)]
            row_inputs += tokens[:-1]
            row_positions += range(len(row.prompt), len(row.prompt) + len(tokens) - 1)
            row_segments += [segment] * (len(tokens) - 1)
        for found, values, padding in ((inputs, row_inputs, 0), (positions, row_positions, 0), (segments, row_segments, PADDING)):
            found.append(values + [padding] * (longest - row.length))
    shared = rows[0].shared
    rows_S, columns_S, targets_S, requests_S = torch.tensor(scored).unbind(1)
    return Batch(
        inputs_RL=torch.tensor(inputs),
        positions_RL=torch.tensor(positions) if shared else None,
        segments_RL=torch.tensor(segments) if shared else None,
        rows_S=rows_S,
        columns_S=columns_S,
        targets_S=targets_S,
        requests_S=requests_S,
    )


def score(model: "PreTrainedModel", batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """float64 and bool [S], on the CPU: the log-likelihood of each scored token, in nats from logits in fp32, and whether it is the likeliest."""
    device = model.device
    arguments = {"input_ids": batch.inputs_RL.to(device)}
    if batch.positions_RL is not None and batch.segments_RL is not None:
        arguments |= {"position_ids": batch.positions_RL.to(device), "attention_mask": attention_mask(batch.segments_RL.to(device), model.dtype)}
    hidden_RLD = model.base_model(**arguments, use_cache=False).last_hidden_state
    hidden_SD = hidden_RLD[batch.rows_S.to(device), batch.columns_S.to(device)]
    head = cast(torch.nn.Module, model.get_output_embeddings())
    tokens_at_once = max(1, LOGITS_AT_ONCE // model.config.vocab_size)
    nats, hits = [], []
    for hidden, targets in zip(hidden_SD.split(tokens_at_once), batch.targets_S.to(device).split(tokens_at_once), strict=True):
        logits = head(hidden).float()
        nats.append(-F.cross_entropy(logits, targets, reduction="none"))
        hits.append(logits.argmax(-1) == targets)
    return torch.cat(nats).double().cpu(), torch.cat(hits).cpu()


def attention_mask(segments_RL: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Added to attention scores: 0 where a query may see a key (earlier or itself; of the prompt or of its own segment), else the least number."""
    queries_RQ1, keys_R1K = segments_RL.unsqueeze(2), segments_RL.unsqueeze(1)
    seen_RQK = ((keys_R1K == 0) | (keys_R1K == queries_RQ1)).tril()
    return torch.zeros_like(seen_RQK, dtype=dtype).masked_fill(~seen_RQK, torch.finfo(dtype).min).unsqueeze(1)
