from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest
from pydantic import ValidationError

from models.frozen import StudyError
from tasks.stage import TemporaryError
from tasks.steps.faithfulness import Faithfulness
from tasks.steps.rewrite import Rewrite, pieces
from tests.tasks.steps.chat_server import ChatServer
from tests.tasks.steps.some_documents import CONTEXT, apply, documents

PLAIN = "The old mill stands beside the river, number {}, and grinds since 1850."


@pytest.fixture
def server() -> Iterator[ChatServer]:
    server = ChatServer()
    yield server
    server.close()


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Replies are kept in this test's own folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def step_for(server: ChatServer, endpoint: dict[str, Any] | None = None, **settings: Any) -> Rewrite:
    asked = {"url": server.url, "model": "m", "retries": 2, "concurrency": 3, "timeout_seconds": 0.5} | (endpoint or {})
    return Rewrite.model_validate({"step": "rewrite", "endpoint": asked, **settings})


def through(step: Rewrite, *shards: pa.Table) -> tuple[pa.Table, pa.Table, dict[str, Any]]:
    context = replace(CONTEXT, directory=CONTEXT.directory.resolve())
    state = step.reduce([step.map(shard, replace(context, shard=i)) for i, shard in enumerate(shards)], context)
    outcomes = [apply(step, shard, context, state) for shard in shards]
    return pa.concat_tables([kept for kept, _ in outcomes]), pa.concat_tables([removed for _, removed in outcomes]), step.record(state)


def test_documents_are_rewritten_with_the_original_beside_and_never_twice(server, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "secret-key")
    texts = [PLAIN.format(i) for i in range(5)]
    kept, _, record = through(step_for(server), documents([*texts, texts[0]]))
    assert kept["text"].to_pylist()[:5] == [text.replace("old", "aged") for text in texts]
    assert kept["original_text"].to_pylist()[:5] == texts
    assert record == {
        "documents": 6,
        "outcomes": {"rewritten": 6},
        "spent": {"requests": 5, "input_tokens": 500, "output_tokens": 100, "dollars": 0.0},
    }
    assert server.headers_seen[0]["Authorization"] == "Bearer secret-key"
    assert {body["model"] for body in server.bodies} == {"m"}
    server.down = True  # whatever is known needs no server; the cut changes nothing, the price is the same
    cut, _, again = through(step_for(server), documents([*texts, texts[0]]).slice(4), documents([*texts, texts[0]]).slice(0, 4))
    assert cut.sort_by("id").equals(kept)
    assert again == record
    assert len(server.bodies) == 5


def test_it_outlasts_an_endpoint_that_stalls_limits_and_fails(server):
    texts = [f"{PLAIN.format(i)} {behaviour}" for i, behaviour in enumerate(["STALLS1", "LIMITS2", "FAILS1", "GARBLES1", "EMPTIES2"])]
    kept, _, record = through(step_for(server), documents(texts))
    assert record["outcomes"] == {"rewritten": 5}
    assert [server.seen[text] for text in texts] == [2, 3, 2, 2, 3]
    assert all("aged" in text for text in kept["text"].to_pylist())


@pytest.mark.parametrize(
    ("behaviour", "outcome"),
    [
        ("REFUSES", "refused by the endpoint"),
        ("CUTS", "cut off"),
        ("LIES", "unfaithful: another text"),
        ("INVENTS", "unfaithful: invented figures"),
    ],
)
def test_what_is_no_faithful_rewriting_is_not_taken(server, behaviour, outcome):
    table = documents([f"{PLAIN.format(1)} {behaviour}"])
    kept, _, _ = through(step_for(server), table)
    assert kept.select(["text", "original_text", "rewrite_outcome"]).to_pylist() == [
        {"text": table["text"][0].as_py(), "original_text": None, "rewrite_outcome": outcome}
    ]
    kept, removed, _ = through(step_for(server, otherwise="drop"), table)
    assert (kept.num_rows, removed["reason"].to_pylist()) == (0, [outcome.partition(":")[0]])
    assert sum(server.seen.values()) == 1


@pytest.mark.parametrize(
    ("behaviour", "error", "sentence"),
    [
        ("FAILS", TemporaryError, "gives no answer after 2 retries .*500.*; replies so far are kept, run the same command again"),
        ("STALLS", TemporaryError, "gives no answer after 2 retries .*timed? ?out"),
        ("GARBLES", TemporaryError, "answers no chat completions .*<html>"),
        ("FORBIDS", StudyError, r"answers 401 .*bad key.* mend url, model or the key in \$OPENAI_API_KEY"),
    ],
)
def test_what_was_answered_before_it_gave_up_is_kept(server, behaviour, error, sentence):
    texts = [*(PLAIN.format(i) for i in range(6)), f"{PLAIN.format(9)} {behaviour}"]
    with pytest.raises(error, match=sentence):
        through(step_for(server, {"timeout_seconds": 0.3}), documents(texts))
    answered = [text for text in texts[:6] if server.seen[text]]
    kept, _, _ = through(step_for(server), documents(texts[:6]))
    assert kept["rewrite_outcome"].to_pylist() == ["rewritten"] * 6
    assert all(server.seen[text] == 1 for text in answered)


def test_a_budget_of_requests_is_looked_at_before_anything_is_sent(server):
    with pytest.raises(StudyError, match=r"3 requests are more than requests 2; nothing was sent"):
        through(step_for(server, {"budget": {"requests": 2}}), documents([PLAIN.format(i) for i in range(3)]))
    assert not server.bodies


@pytest.mark.parametrize(
    "budget",
    [{"tokens": 1500}, {"dollars": 0.0015, "dollars_per_million_input_tokens": 1, "dollars_per_million_output_tokens": 1}],
)
def test_a_budget_is_never_exceeded_and_what_it_bought_is_kept(server, budget):
    """A request takes at most about 420 bytes in and 100 tokens out; 120 in fact, which is known only afterwards."""
    texts = [PLAIN.format(i) for i in range(30)]
    small = {"budget": budget, "max_output_tokens": 100}
    with pytest.raises(StudyError, match=r"may not suffice for more than \d+ of 30 requests; their replies are kept"):
        through(step_for(server, small), documents(texts))
    sent = len(server.bodies)
    assert 5 <= sent <= 12  # 12 x 120 = 1440
    _, _, record = through(step_for(server, {"max_output_tokens": 100}), documents(texts))
    assert len(server.bodies) == 30
    assert record["spent"]["requests"] == 30
    with pytest.raises(StudyError, match="of which"):  # all is there, and has cost more
        through(step_for(server, small), documents(texts))
    assert len(server.bodies) == 30


def test_an_endpoint_that_hides_its_count_is_counted_at_the_most(server):
    text = f"{PLAIN.format(0)} HIDES"
    _, _, record = through(step_for(server), documents([text]))
    assert record["spent"]["output_tokens"] == 1024
    assert record["spent"]["input_tokens"] == sum(len(m["content"].encode()) for m in server.bodies[0]["messages"])


def test_requests_keep_their_distance(server):
    through(step_for(server, {"requests_per_minute": 300}), documents([PLAIN.format(i) for i in range(4)]))
    assert max(server.times) - min(server.times) > 0.4  # 3 x 0.2 s, and some were slow to begin


def test_only_what_a_filter_would_discard_is_rewritten_with_guidance(server):
    server.answer = lambda text: f"It is a note for travellers.\nREWRITTEN:\n{text.replace('old', 'venerable')}"
    table = documents([PLAIN.format(i) for i in range(4)], quality=pa.array([0.1, 0.9, None, 0.2]))
    kept, _, _ = through(step_for(server, style="guided", score="quality", below=0.5), table)
    assert ["venerable" in text for text in kept["text"].to_pylist()] == [True, False, False, True]
    drawn, _, _ = through(step_for(server, max_documents=2, style="guided"), table)
    assert drawn["rewrite_outcome"].null_count == 2
    server.answer = lambda text: "I would rather not."
    kept, _, _ = through(step_for(server, {"model": "other"}, style="guided"), table)
    assert set(kept["rewrite_outcome"].to_pylist()) == {"no text in the reply"}


def test_a_model_may_write_programs(server):
    replies = {"menu": "remove_lines(0, 0)", "junk": "drop_doc()", "odd": "import os", "whole": "keep_doc()"}
    server.answer = lambda text: next(program for word, program in replies.items() if word in text)
    texts = [f"a {word}\nthe old mill" for word in replies]
    kept, removed, _ = through(step_for(server, style="prox"), documents(texts))
    assert kept["text"].to_pylist() == ["the old mill", texts[2], texts[3]]
    assert kept["original_text"].to_pylist() == [texts[0], None, None]
    assert removed["reason"].to_pylist() == ["drop_doc"]
    assert kept["rewrite_outcome"][1].as_py().startswith("invalid program: 'import os' is no call")


def test_long_documents_are_cut_between_lines(server):
    text = "\n".join(PLAIN.format(i) for i in range(10))
    kept, _, record = through(step_for(server, max_characters=200), documents([text]))
    assert kept["text"].to_pylist() == [text.replace("old", "aged")]
    assert record["spent"]["requests"] == 5
    assert list(pieces("ab\n\ncdefgh\ni", 5)) == ["ab\n", "cdefgh", "i"]
    assert "\n".join(pieces(text, 77)) == text


def test_bounds_of_faithfulness():
    check, text = Faithfulness(), "In 1850 the miller bought 3 stones for 12.5 guilders from his neighbour."
    assert check.fault(text, "The miller got 3 stones from a neighbour in 1850, for 12.5 guilders.") is None
    assert check.fault(text, "Stones.") == "too short"
    assert check.fault(text, text * 4) == "too long"
    assert check.fault(text, text.replace("12.5", "125")) == "invented figures"
    assert check.fault(text, "Jupiter revolves around a distant yellow star every dozen years.") == "another text"
    assert check.fault("", "x" * 10) == "too long"


def test_documents_are_chosen_by_score_and_bound_together():
    with pytest.raises(ValidationError, match="give both or neither"):
        Rewrite.model_validate({"step": "rewrite", "endpoint": {"url": "http://x/v1", "model": "m"}, "score": "quality"})
