"""A model behind an OpenAI-compatible endpoint as a policy: many requests at once, errors that pass are waited out.

Functions that a state offers go along as tools. Where they stand in the system text instead, as in BFCL's prompt mode, the reply is taken
as it is. Neither log-probabilities nor token ids come back, so it can be searched with and measured, not trained.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import groupby
from typing import Any

import openai
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from lib.chat import Message, as_tools, state_messages
from lib.evaluate.llm_judge import MAX_ATTEMPTS, MAX_WAIT_SECONDS, PASSING, Connect
from lib.policy.sampling import OWN, Sampling
from lib.search.state import State, Step
from lib.toolcall import compact_json, parse_step

MAX_REPLY = 100_000   # characters of a reply that are kept


class RemotePolicy:
    """Samples steps from a served model. Serves many event loops in turn.

    Args:
        connect: opens a client; see `lib.evaluate.llm_judge.endpoint`.
        model: its name there.
        temperature, max_new_tokens: of requests that leave them open. Where a request leaves `top_p` open, none is sent, and the endpoint
            has its own.
        concurrency: requests under way at once.
        retry_seconds: first wait after a passing error; it doubles from attempt to attempt.
    """

    def __init__(self, connect: Connect, model: str, *, temperature: float = 0.5, max_new_tokens: int = 512, concurrency: int = 32,
                 retry_seconds: float = 1.0) -> None:
        self.model, self.sampling = model, Sampling(temperature, None, max_new_tokens)
        self.num_new_tokens = 0   # as the endpoint counts them
        self._connect, self._concurrency, self._retry_seconds = connect, concurrency, retry_seconds
        self._loop: asyncio.AbstractEventLoop | None = None

    async def sample(self, states: Sequence[State], n: int = 1, *, seeds: Sequence[int], sampling: Sampling = OWN) -> list[list[Step]]:
        """n steps for each state; a failed one where the conversation is longer than the model's context.

        Raises:
            openai.OpenAIError: the endpoint refuses, or an error did not pass.
        """
        self._enter_loop()
        sampling = sampling.over(self.sampling)
        asked = [self._step(state, seed + k, sampling) for state, seed in zip(states, seeds, strict=True) for k in range(n)]
        steps = await asyncio.gather(*asked)
        return [steps[first:first + n] for first in range(0, len(steps), n)]

    async def _step(self, state: State, seed: int, sampling: Sampling) -> Step:
        async with self._places:
            try:
                found = await self._complete(state, seed, sampling)
            except openai.BadRequestError as error:
                if "context" not in str(error).lower():   # what OpenAI and vLLM both write where a prompt is too long
                    raise
                return Step(failed=True)
        self.num_new_tokens += found.usage.completion_tokens if found.usage else 0
        return _read(found.choices[0].message, state) if found.choices else Step(failed=True)

    async def _complete(self, state: State, seed: int, sampling: Sampling) -> Any:
        """The endpoint's answer, asked for again after errors that pass."""
        attempts = AsyncRetrying(stop=stop_after_attempt(MAX_ATTEMPTS), retry=retry_if_exception_type(PASSING), reraise=True,
                                 wait=wait_random_exponential(multiplier=self._retry_seconds, max=MAX_WAIT_SECONDS))
        given = {"tools": as_tools(state.functions)} if state.functions else {}
        given |= {} if sampling.top_p is None else {"top_p": sampling.top_p}
        async for attempt in attempts:
            with attempt:
                return await self._client.chat.completions.create(
                    model=self.model, messages=api_messages(state), temperature=sampling.temperature, max_tokens=sampling.max_new_tokens,
                    seed=seed, **given)
        raise AssertionError("the last attempt returns or raises")

    def _enter_loop(self) -> None:
        """Clients and locks belong to an event loop; a new one gets new ones."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._client, self._places = loop, self._connect(), asyncio.Semaphore(self._concurrency)


def api_messages(state: State) -> list[Message]:
    """The conversation as OpenAI's API takes it: calls with ids, arguments as text.

    Results of calls that stand in plain text are one message of the user's, in the words that bfcl_eval has for models behind an API
    (format_execution_results_prompting): the API takes a tool's message only behind a call of its own kind.
    """
    messages: list[Message] = []
    for role, group in groupby(state_messages(state), key=lambda message: message["role"]):
        if role != "tool":
            messages += [_with_id(message, f"call_{len(messages) + place}") for place, message in enumerate(group)]
        elif calls := messages[-1].get("tool_calls"):
            messages += [{"role": "tool", "tool_call_id": calls[0]["id"], "content": message["content"]} for message in group]
        else:
            messages.append({"role": "user", "content": repr(list(group))})
    return messages


def _with_id(message: Message, call_id: str) -> Message:
    """The message, its call (a step makes one) with an id and its arguments as text."""
    if not message.get("tool_calls"):
        return message
    [call] = message["tool_calls"]
    function = call["function"]
    written = {"name": function["name"], "arguments": compact_json(function["arguments"])}
    return {**message, "tool_calls": [{"id": call_id, "type": "function", "function": written}]}


def _read(message: Any, state: State) -> Step:
    """The step that a reply holds; of several calls the first, as with any policy."""
    text = (message.content or "")[:MAX_REPLY].encode("utf-8", "replace").decode()
    if message.tool_calls:
        function = message.tool_calls[0].function
        return Step(text, function.name, function.arguments[:MAX_REPLY])
    return parse_step(text) if state.functions else Step(text, failed=not text.strip())
