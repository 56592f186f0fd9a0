"""A language model as judge, behind any OpenAI-compatible endpoint, with its replies kept on disk and its cost counted.

The model's name is pinned: a reply that comes from another model than the one asked for stops the run, since verdicts of
different judges cannot be compared. Each question is asked several times, and every repeat is a request of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import openai
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from lib.evaluate.judge_prompts import (
    FIRST,
    REPLY_CHARACTERS,
    SECOND,
    Question,
    answer_question,
    comparison_question,
    path_question,
    read_label,
    solvability_question,
)
from lib.evaluate.judges import AnswerStatus, Solvability, Winner
from lib.evaluate.prediction import Prediction
from lib.evaluate.verdict_cache import Reply, VerdictCache, digest_of

Connect = Callable[[], openai.AsyncOpenAI]
PASSING = (openai.APIConnectionError, openai.RateLimitError, openai.InternalServerError)   # a timeout is a connection error
MAX_ATTEMPTS = 6           # per request
MAX_WAIT_SECONDS = 60.0    # between two attempts


@dataclass(frozen=True)
class JudgeSettings:
    """What determines a verdict besides the question."""

    model: str                 # pinned name, dated where the provider dates them: "gpt-4o-2024-08-06"
    temperature: float = 0.2   # ToolEval's (evaluators/tooleval_gpt-3.5-turbo_default/config.yaml)
    max_tokens: int = 400      # of a reply; a verdict and two sentences. Reasoning models need more


@dataclass
class Spent:
    """What judging has cost in this process; a run answered by the cache alone costs nothing."""

    requests: int = 0            # replies paid for
    cached: int = 0              # replies taken from the cache
    unreadable: int = 0          # replies without a verdict, read as unsure or as a tie
    prompt_tokens: int = 0       # of the paid replies; 0 where the endpoint does not count
    completion_tokens: int = 0


def endpoint(base_url: str, *, api_key: str | None = None, timeout_seconds: float = 60.0) -> Connect:
    """Opens clients of an OpenAI-compatible endpoint, e.g. "http://localhost:8000/v1".

    Args:
        api_key: taken from OPENAI_API_KEY where None; servers that want none accept any text.
    """
    return lambda: openai.AsyncOpenAI(base_url=base_url, api_key=api_key, timeout=timeout_seconds, max_retries=0)


class LLMJudge:
    """Asks a model for verdicts. Lives for as long as its costs are to be counted together; serves many event loops in turn."""

    def __init__(self, connect: Connect, settings: JudgeSettings, cache: Path, *, num_repeats: int = 4, concurrency: int = 8,
                 max_unreadable: int = 20, retry_seconds: float = 1.0, served_as: str | None = None) -> None:
        """
        Args:
            connect: opens a client; see `endpoint`.
            cache: SQLite file of replies, made where there is none.
            num_repeats: times each question is asked; an even number shows either role first equally often. 4 as in the
                README of ToolEval.
            max_unreadable: replies without a verdict that are counted; one more ends the run.
            retry_seconds: first wait after a passing error; it doubles from attempt to attempt.
            served_as: name that replies carry, where the endpoint calls the model differently.
        """
        self.settings, self.num_repeats, self.spent = settings, num_repeats, Spent()
        self._connect, self._cache, self._max_unreadable = connect, VerdictCache(cache), max_unreadable
        self._retry_seconds, self._served_as, self._concurrency = retry_seconds, served_as or settings.model, concurrency
        self._loop: asyncio.AbstractEventLoop | None = None

    async def answer_status(self, prediction: Prediction, repeat: int) -> AnswerStatus:
        """By the final answer alone and, where that leaves it open, by the whole path (check_is_solved of ToolEval's rtl.py)."""
        status = AnswerStatus(await self._ask(answer_question(prediction), repeat))
        if status is AnswerStatus.UNSURE:
            status = AnswerStatus(await self._ask(path_question(prediction), repeat))
        return status

    async def solvability(self, prediction: Prediction, repeat: int) -> Solvability:
        return Solvability(await self._ask(solvability_question(prediction), repeat))

    async def better(self, *, model: Prediction, reference: Prediction, repeat: int) -> Winner:
        """The roles change places from repeat to repeat, and the query decides who begins: no side gains from its place.

        ToolEval shuffles the answers without their statuses (rtl.py); here roles and places meet in this function only.
        """
        order = [(Winner.MODEL, model), (Winner.REFERENCE, reference)]
        if (crc32("/".join(model.key).encode()) + repeat) % 2:
            order.reverse()
        label = await self._ask(comparison_question(order[0][1], order[1][1]), repeat)
        return {FIRST: order[0][0], SECOND: order[1][0]}.get(label, Winner.NEITHER)

    def costs(self, *, dollars_per_million_prompt: float = 0.0, dollars_per_million_completion: float = 0.0) -> dict[str, float]:
        """What was spent so far, as metrics to log."""
        spent = self.spent
        dollars = (spent.prompt_tokens * dollars_per_million_prompt
                   + spent.completion_tokens * dollars_per_million_completion) / 1_000_000
        return {"judge/requests": spent.requests, "judge/cached": spent.cached, "judge/unreadable": spent.unreadable,
                "judge/prompt_tokens": spent.prompt_tokens, "judge/completion_tokens": spent.completion_tokens,
                "judge/dollars": dollars}

    async def _ask(self, question: Question, repeat: int) -> str:
        """The label of the reply to one question; its fallback where the reply has none."""
        reply = await self._reply(question, repeat)
        label = read_label(reply.text, question.labels)
        if label is None:
            self._count_unreadable(reply)
        return label or question.fallback

    async def _reply(self, question: Question, repeat: int) -> Reply:
        """From the cache, from an equal request under way, or from the endpoint."""
        self._enter_loop()
        digest = digest_of({"messages": question.messages, "model": self.settings.model, "repeat": repeat,
                            "temperature": self.settings.temperature, "max_tokens": self.settings.max_tokens})
        if kept := self._cache.find(digest):
            self.spent.cached += 1
            self._check_model(kept)   # the cache may hold replies under another served_as
            return kept
        if digest not in self._under_way:
            self._under_way[digest] = asyncio.ensure_future(self._request(question, digest))
            self._under_way[digest].add_done_callback(lambda _: self._under_way.pop(digest, None))
        return await self._under_way[digest]

    async def _request(self, question: Question, digest: str) -> Reply:
        async with self._places:
            reply = await self._complete(question)
        self._check_model(reply)   # before it is kept: a reply of another model is no verdict
        self.spent.requests += 1
        self.spent.prompt_tokens += reply.prompt_tokens
        self.spent.completion_tokens += reply.completion_tokens
        return self._cache.keep(digest, reply)

    async def _complete(self, question: Question) -> Reply:
        """One reply, asked for again after errors that pass."""
        attempts = AsyncRetrying(stop=stop_after_attempt(MAX_ATTEMPTS), retry=retry_if_exception_type(PASSING), reraise=True,
                                 wait=wait_random_exponential(multiplier=self._retry_seconds, max=MAX_WAIT_SECONDS))
        async for attempt in attempts:
            with attempt:
                found = await self._client.chat.completions.create(
                    model=self.settings.model, messages=list(question.messages), temperature=self.settings.temperature,
                    max_tokens=self.settings.max_tokens)
        text = found.choices[0].message.content if found.choices else None
        usage = found.usage
        return Reply((text or "")[:REPLY_CHARACTERS].encode("utf-8", "replace").decode(), found.model,
                     usage.prompt_tokens if usage else 0, usage.completion_tokens if usage else 0)

    def _check_model(self, reply: Reply) -> None:
        if reply.model != self._served_as:
            raise ValueError(f"judge {self.settings.model!r}: found a reply of {reply.model[:100]!r}, expected one of "
                             f"{self._served_as!r}. Pin the full name as `model`, or give the name that the endpoint uses as "
                             "`served_as`.")

    def _count_unreadable(self, reply: Reply) -> None:
        self.spent.unreadable += 1
        if self.spent.unreadable > self._max_unreadable:
            raise ValueError(f"judge {self.settings.model!r}: found {self.spent.unreadable} replies without a verdict, expected at "
                             f"most {self._max_unreadable}; the last begins {reply.text[:80]!r}. Raise max_tokens if it is cut off, "
                             "or choose a model that keeps to the form.")

    def _enter_loop(self) -> None:
        """Clients and locks belong to an event loop; a new one gets new ones."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._client, self._places = loop, self._connect(), asyncio.Semaphore(self._concurrency)
            self._under_way: dict[str, asyncio.Future[Reply]] = {}
