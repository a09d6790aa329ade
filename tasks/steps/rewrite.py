"""Rewrites documents by a language model behind an endpoint."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, PositiveInt, model_validator

from tasks import layout
from tasks.steps.base import CorpusStep, StepContext, StepOutcome, decide
from tasks.steps.drawn import leave_candidates, smallest_keys
from tasks.steps.edit_program import InvalidProgramError, execute
from tasks.steps.endpoint import Endpoint, ReplyCache, ask_all
from tasks.steps.faithfulness import Faithfulness
from tasks.steps.original import ORIGINAL, OUTCOME, with_new_texts
from tasks.steps.rewriting_styles import Style, messages, rewritten
from tasks.steps.score_columns import read_score

REPLIES = layout.LOCAL / "rewriting" / "replies.sqlite"
REWRITTEN = "rewritten"


class Rewriting(NamedTuple):
    """The state: which documents are rewritten, and what became of them all."""

    chosen: pa.Array  # ids
    record: dict[str, Any]


class Attempt(NamedTuple):
    outcome: str  # REWRITTEN, or why not
    text: str | None  # the new one; None drops the document (a program may)


class Rewrite(CorpusStep):
    """Rephrases documents through any endpoint that speaks OpenAI's chat completions: in the styles of WRAP (`easy`, `medium`, `hard`, `qa`; arXiv
    2401.16380), as REWIRE's guided rewriting of what a filter would discard (`guided`, with `score` and `below`; arXiv 2506.04689), or by a program
    of edits that the model writes (`prox`; arXiv 2409.17115).

    Replies are kept by request in `.assay/rewriting/`: what was answered is never asked again, a killed recipe goes on, and the second run gives the
    same bytes although models don't. The original stays beside the new text (`original_text`), and `rewrite_outcome` says what became of each
    attempt. What is not faithful to its original is not taken.
    """

    step: Literal["rewrite"]
    endpoint: Endpoint
    style: Style = "medium"
    score: str | None = Field(default=None, description="the column that an earlier step annotated, by which documents are chosen; null chooses all")
    below: float | None = Field(default=None, description="documents with lower scores are rewritten, the others stay as they are")
    max_documents: PositiveInt | None = Field(default=None, description="drawn by a hash of the id from those chosen")
    max_characters: PositiveInt = Field(
        default=4000, description="of a request: longer documents are cut between lines, longer lines stay as they are"
    )
    faithfulness: Faithfulness = Faithfulness()
    otherwise: Literal["keep", "drop"] = Field(default="keep", description="what becomes of documents whose rewriting is not taken")

    @model_validator(mode="after")
    def _is_chosen_by_a_bound(self) -> Self:
        if (self.score is None) != (self.below is None):
            raise ValueError("rewrite chooses documents by score and below: give both or neither")
        return self

    def annotations(self) -> pa.Schema:
        return pa.schema([ORIGINAL, OUTCOME])

    def map(self, table: pa.Table, context: StepContext) -> Path:
        """The file of the shard's candidates. Row by row: a document that may be rewritten."""
        candidates = table.select(["id", "text"])
        if self.score is not None:
            candidates = candidates.filter(pc.fill_null(pc.less(read_score(table, self.score, self, context), self.below), False))
        return leave_candidates(candidates, self.max_documents, context)

    def reduce(self, digests: list[Path], context: StepContext) -> Rewriting:
        chosen = smallest_keys(digests, self.max_documents)
        asked = {self.endpoint.key_of(request): request for text in chosen["text"].to_pylist() for request in self._requests(text)}
        cache = ReplyCache(REPLIES)
        spent = ask_all(self.endpoint, asked, cache, f"recipe '{context.recipe}', {self.step}.endpoint")
        outcomes = Counter(self._attempt(text, cache).outcome.partition(":")[0] for text in chosen["text"].to_pylist())
        record = {"documents": chosen.num_rows, "outcomes": dict(sorted(outcomes.items())), "spent": spent.record()}
        return Rewriting(chosen["id"].combine_chunks(), record)

    def apply(self, table: pa.Table, state: Rewriting, context: StepContext) -> StepOutcome:
        cache, text_D = ReplyCache(REPLIES), table["text"].to_pylist()
        outcome_D, reason_D = (np.full(len(text_D), None, object) for _ in range(2))
        for i in np.flatnonzero(pc.is_in(table["id"], state.chosen).to_numpy(zero_copy_only=False)).tolist():
            outcome_D[i], new = self._attempt(text_D[i], cache)
            if outcome_D[i] == REWRITTEN and new is None:
                reason_D[i] = "drop_doc"
            elif outcome_D[i] == REWRITTEN:
                text_D[i] = new
            elif outcome_D[i] != REWRITTEN and self.otherwise == "drop":
                reason_D[i] = outcome_D[i].partition(":")[0]
        return decide(with_new_texts(table, text_D, outcome_D), pa.array(reason_D, pa.string()))

    def record(self, state: Rewriting) -> dict[str, Any]:
        return state.record

    def _requests(self, text: str) -> Iterator[tuple[tuple[str, str], ...]]:
        return (messages(self.style, piece) for piece in pieces(text, self.max_characters) if piece.strip() and len(piece) <= self.max_characters)

    def _attempt(self, text: str, cache: ReplyCache) -> Attempt:
        """Piece by piece; one piece that fails leaves the whole document as it was."""
        parts = []
        for piece in pieces(text, self.max_characters):
            if not piece.strip() or len(piece) > self.max_characters:
                parts.append(piece)
                continue
            reply = cache.get(self.endpoint.key_of(messages(self.style, piece)))
            assert reply is not None, "`reduce` asked for all"
            if reply.text is None:
                return Attempt("refused by the endpoint", text)
            if not reply.finished:
                return Attempt("cut off", text)
            new = rewritten(self.style, reply.text)
            if new is None:
                return Attempt("no text in the reply", text)
            if self.style == "prox":
                try:
                    new, _ = execute(new, piece)
                except InvalidProgramError as error:
                    return Attempt(f"invalid program: {error}", text)
                if new is None:
                    return Attempt(REWRITTEN, None)
            elif fault := self.faithfulness.fault(piece, new):
                return Attempt(f"unfaithful: {fault}", text)
            parts.append(new)
        joined = "\n".join(parts)
        return Attempt(REWRITTEN, joined) if joined.strip() else Attempt("nothing left", text)


def pieces(text: str, max_characters: int) -> Iterator[str]:
    """The text cut between lines into pieces of at most so many characters, as long as can be; a longer line is a piece of its own."""
    lines: list[str] = []
    length = 0
    for line in text.split("\n"):
        if lines and length + len(line) + 1 > max_characters:
            yield "\n".join(lines)
            lines, length = [], 0
        length += len(line) + bool(lines)
        lines.append(line)
    yield "\n".join(lines)
