"""Any endpoint that speaks OpenAI's chat completions: asked politely, within a budget, and never twice for the same."""

import hashlib
import json
import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from models.frozen import Frozen, StudyError
from tasks.stage import TemporaryError

if TYPE_CHECKING:
    import requests

Messages = tuple[tuple[str, str], ...]  # (role, content)
OVERLOADED = (408, 409, 429, 500, 502, 503, 504, 529)
REFUSED = (400, 413, 422)  # this request, not all of them


class Budget(Frozen):
    """What a recipe's texts may cost, counted over all of them, whenever they were written: a second run has nothing to pay and the same sum."""

    requests: PositiveInt | None = None
    tokens: PositiveInt | None = Field(default=None, description="read and written")
    dollars: PositiveFloat | None = None
    dollars_per_million_input_tokens: float = Field(default=0.0, ge=0)
    dollars_per_million_output_tokens: float = Field(default=0.0, ge=0)


class Endpoint(Frozen):
    url: str = Field(pattern=r"^https?://", description="up to and with /v1")
    model: str
    key_variable: str = Field(default="OPENAI_API_KEY", description="the environment variable with the key; none is sent when it is not set")
    temperature: float = Field(default=0.7, ge=0)
    max_output_tokens: PositiveInt = 1024
    concurrency: PositiveInt = Field(default=8, description="requests at the same time")
    requests_per_minute: PositiveFloat | None = Field(default=None, description="at most, retries not counted")
    timeout_seconds: PositiveFloat = Field(default=120.0, description="without an answer")
    retries: NonNegativeInt = Field(default=6, description="of a request that found the endpoint overloaded, silent or talking nonsense")
    budget: Budget = Budget()

    def body(self, messages: Messages) -> dict[str, Any]:
        return {
            "model": self.model,
            "messages": [{"role": role, "content": content} for role, content in messages],
            "temperature": self.temperature,
            "max_tokens": self.max_output_tokens,
        }

    def key_of(self, messages: Messages) -> str:
        """Equal for requests that may share an answer, whatever the place of the endpoint."""
        return hashlib.sha256(json.dumps(self.body(messages), sort_keys=True).encode()).hexdigest()


class Reply(NamedTuple):
    text: str | None  # None: the endpoint refused this request
    finished: bool  # not cut off at the most tokens
    input_tokens: int
    output_tokens: int


class ReplyCache:
    """Answers by request, in one SQLite file: each is there or not, whatever was killed when."""

    def __init__(self, path: Path):
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._open() as database:
            database.execute("CREATE TABLE IF NOT EXISTS replies (key TEXT PRIMARY KEY, text TEXT, finished, input_tokens, output_tokens)")

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self.path, timeout=60)) as database, database:
            yield database

    def get(self, key: str) -> Reply | None:
        with self._open() as database:
            row = database.execute("SELECT text, finished, input_tokens, output_tokens FROM replies WHERE key = ?", (key,)).fetchone()
        return Reply(row[0], bool(row[1]), *row[2:]) if row else None

    def put(self, key: str, reply: Reply) -> None:
        with self._open() as database:
            database.execute("INSERT OR IGNORE INTO replies VALUES (?, ?, ?, ?, ?)", (key, *reply))


class Spent:
    """What replies cost, and whether there is room for another one."""

    def __init__(self, endpoint: Endpoint):
        self.endpoint, self.requests, self.input_tokens, self.output_tokens = endpoint, 0, 0, 0

    def add(self, reply: Reply) -> None:
        self.requests += 1
        self.input_tokens += reply.input_tokens
        self.output_tokens += reply.output_tokens

    def dollars(self, further_input: int = 0, further_output: int = 0) -> float:
        budget = self.endpoint.budget
        input_dollars = (self.input_tokens + further_input) * budget.dollars_per_million_input_tokens
        return (input_dollars + (self.output_tokens + further_output) * budget.dollars_per_million_output_tokens) / 1e6

    def forbids(self, reserved_input: int, reserved_output: int) -> str | None:
        """Which part of the budget might not suffice, in words, if these tokens are used too."""
        budget, tokens = self.endpoint.budget, self.input_tokens + self.output_tokens
        if budget.tokens is not None and tokens + reserved_input + reserved_output > budget.tokens:
            return f"tokens {budget.tokens:,}, of which {tokens:,} are used"
        if budget.dollars is not None and self.dollars(reserved_input, reserved_output) > budget.dollars:
            return f"dollars {budget.dollars:g}, of which {self.dollars():.4g} are used"
        return None

    def record(self) -> dict[str, Any]:
        return {
            "requests": self.requests,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "dollars": round(self.dollars(), 6),
        }


def ask_all(endpoint: Endpoint, asked: Mapping[str, Messages], cache: ReplyCache, where: str) -> Spent:
    """Sees to it that the cache has a reply to each request, by its key.

    Before a request is sent, room is reserved for the most that it can cost, so that the budget holds whatever is answered.

    Raises:
        StudyError: when the budget does not suffice, or the endpoint wants another key, model or address.
        TemporaryError: when it stays overloaded, silent or nonsensical. In both cases what was answered is kept.
    """
    budget, spent = endpoint.budget, Spent(endpoint)
    if budget.requests is not None and len(asked) > budget.requests:
        raise StudyError(
            f"{where}.budget: {len(asked):,} requests are more than requests {budget.requests:,}; nothing was sent. Raise it, or ask less."
        )
    missing = {}
    for key, messages in asked.items():
        if reply := cache.get(key):
            spent.add(reply)
        else:
            missing[key] = messages
    waiting, running, refusal = deque(missing.items()), dict[Future[Reply], int](), None
    client = Client(endpoint, where)
    with ThreadPoolExecutor(endpoint.concurrency) as pool:
        try:
            while waiting or running:
                while waiting and len(running) < endpoint.concurrency:
                    key, messages = waiting[0]
                    size = sum(len(content.encode()) for _, content in messages)  # no token is less than a byte
                    refusal = spent.forbids(sum(running.values()) + size, (len(running) + 1) * endpoint.max_output_tokens)
                    if refusal:
                        break
                    running[pool.submit(client.ask_and_keep, key, messages, cache)] = size
                    waiting.popleft()
                if not running:
                    break
                done, _ = wait(running, return_when=FIRST_COMPLETED)  # which may have cost less than was reserved
                for future in done:
                    del running[future]
                    spent.add(future.result())
        finally:
            pool.shutdown(cancel_futures=True)
    if refusal := refusal or spent.forbids(0, 0):  # what is missing has no room, or what is there has cost more
        raise StudyError(
            f"{where}.budget: {refusal}, may not suffice for more than {spent.requests:,} of {len(asked):,} requests; their replies are kept. "
            "Raise it, or ask less."
        )
    return spent


class Client:
    """One endpoint, from several threads."""

    def __init__(self, endpoint: Endpoint, where: str):
        self.endpoint, self.where = endpoint, where
        self.turn, self.next_at, self.local = threading.Lock(), 0.0, threading.local()

    def ask_and_keep(self, key: str, messages: Messages, cache: ReplyCache) -> Reply:
        reply = self.ask(messages)
        cache.put(key, reply)
        return reply

    def ask(self, messages: Messages) -> Reply:
        import requests

        nonsense = ""
        for _ in range(self.endpoint.retries + 1):
            self._wait_for_turn()
            try:
                answer = self._session().post(
                    f"{self.endpoint.url.rstrip('/')}/chat/completions", json=self.endpoint.body(messages), timeout=self.endpoint.timeout_seconds
                )
            except requests.RequestException as error:
                raise TemporaryError(
                    f"{self.where}: {self.endpoint.url} gives no answer after {self.endpoint.retries} retries ({_in_short(error)}); replies so far "
                    "are kept, run the same command again."
                ) from None
            if answer.status_code in REFUSED:
                return Reply(None, True, 0, 0)
            if not answer.ok:
                raise StudyError(
                    f"{self.where}: {self.endpoint.url} answers {answer.status_code} ({answer.text[:200]!r}) to model '{self.endpoint.model}': mend "
                    f"url, model or the key in ${self.endpoint.key_variable}."
                )
            try:
                return self._read(answer.json(), messages)
            except (ValueError, KeyError, TypeError, IndexError) as error:
                nonsense = f"{type(error).__name__}: {error} in {answer.text[:100]!r}"
        raise TemporaryError(f"{self.where}: {self.endpoint.url} answers no chat completions ({nonsense}); replies so far are kept.")

    def _read(self, answer: Any, messages: Messages) -> Reply:
        choice = answer["choices"][0]
        text = choice["message"]["content"] or ""
        if not isinstance(text, str):
            raise TypeError("content is no text")
        usage = answer.get("usage") or {}
        read, written = usage.get("prompt_tokens"), usage.get("completion_tokens")
        if not (isinstance(read, int) and isinstance(written, int) and read > 0 and written >= 0):  # the most that it can have been
            read, written = sum(len(content.encode()) for _, content in messages), self.endpoint.max_output_tokens
        return Reply(text, choice.get("finish_reason") != "length", read, written)

    def _wait_for_turn(self) -> None:
        if self.endpoint.requests_per_minute is None:
            return
        with self.turn:
            time.sleep(max(0.0, self.next_at - time.monotonic()))
            self.next_at = time.monotonic() + 60 / self.endpoint.requests_per_minute

    def _session(self) -> "requests.Session":
        """Of this thread. It tries again, longer apart each time, or when the endpoint says so (Retry-After)."""
        import requests
        from requests.adapters import HTTPAdapter
        from urllib3.util import Retry

        if not hasattr(self.local, "session"):
            retries = self.endpoint.retries
            policy = Retry(total=retries, backoff_factor=0.5, backoff_max=60, backoff_jitter=0.5, status_forcelist=OVERLOADED, allowed_methods=None)
            self.local.session = session = requests.Session()
            session.mount("http://", HTTPAdapter(max_retries=policy))
            session.mount("https://", HTTPAdapter(max_retries=policy))
            if key := os.environ.get(self.endpoint.key_variable):
                session.headers["Authorization"] = f"Bearer {key}"
        return self.local.session


def _in_short(error: Exception) -> str:
    reason = getattr(error.args[0], "reason", error) if error.args else error
    return f"{type(reason).__name__}: {str(reason)[:120]}"
