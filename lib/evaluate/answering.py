"""Puts the questions of BFCL and API-Bank to a policy, many at once, and keeps every answer as soon as it is given.

A question is asked in the official words: functions in the system text, calls as a list in plain text. Its conversation becomes a State, so
that any policy can answer it. What a model writes is bounded before it is kept; nothing in it is evaluated here or by what reads it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from zlib import crc32

from tqdm.auto import tqdm

from lib.evaluate.answer_journal import AnswerJournal
from lib.evaluate.bfcl import Answer
from lib.evaluate.bfcl_checker import Checker
from lib.evaluate.bfcl_data import MULTI_TURN, Item
from lib.evaluate.bfcl_data import turns as prompt_of
from lib.evaluate.bfcl_multi_turn import Message, converse
from lib.evaluate.call_text import MAX_CHARACTERS
from lib.search.driver import Failure, Run, run_searches
from lib.search.state import Policy, Said, State, Step
from lib.toolcall import step_text

NO_MESSAGE = "[no_message()]"     # stands for a message that the policy did not give: nobody offers it, so it is wrong in every category
NO_CONVERSATION: list[list[str]] = []   # the same for a multi-turn item: no turn at all is wrong
MAX_CONVERSATION = 2_000_000      # characters shown to a policy, more than any model's context; hostile calls can ask for endless results
# Begins the result of a call that had to be stopped: its verdict would have to be stopped, too, so the conversation ends there
KILLED = ("Error during execution: bfcl_eval took longer", "Error during execution: the process that runs bfcl_eval died")

Ask = Callable[[Policy], Awaitable[Answer]]   # one question put to a policy
Written = Callable[[Step], str]               # the whole text of a step; `step_text` keeps one call alone of those a local model sampled


class NoMessage(Exception):
    """The policy gave nothing: the prompt leaves no room in its context, or the endpoint answered with nothing; or it cannot be asked on."""


def answer_all(questions: Mapping[str, Ask], policy: Policy, journal: AnswerJournal, *, concurrency: int, max_failures: int = 0,
               label: str = "") -> Run[Answer]:
    """What asking came to; the answers stand in the journal, and those that it held before are not asked again.

    Args:
        questions: item id -> the question.
        max_failures: questions that may raise, and then have no answer; one more ends the run.
    """
    missing = [item_id for item_id in questions if item_id not in journal.pieces]
    with tqdm(total=len(questions), initial=len(questions) - len(missing), desc=label) as bar:
        def keep(index: int, outcome: Answer | Failure) -> None:
            if not isinstance(outcome, Failure):
                journal.add(missing[index], outcome)
            bar.update()

        return run_searches((questions[item_id] for item_id in missing), policy, concurrency=concurrency, max_failures=max_failures,
                            progress=keep)


def bfcl_question(checker: Checker, item: Item, *, seed: int, written: Written = step_text) -> Ask:
    """A BFCL item; a multi-turn one is led through all its turns, its calls executed by bfcl_eval in the checker's process."""
    if item.category in MULTI_TURN:
        return _conversation(checker, item, seed, written)
    return message_question(item.item_id, lambda: prompt_of(checker, item)[0], seed=seed, written=written)


def message_question(item_id: str, messages: Callable[[], Sequence[Message]], *, seed: int, written: Written = step_text) -> Ask:
    """A question that one message answers; NO_MESSAGE where none comes. Its messages are asked for when its turn comes."""
    async def ask(policy: Policy) -> str:
        try:
            return (await _next_step(policy, state_of(messages()), item_id, 0, seed, written)).thought
        except NoMessage:
            return NO_MESSAGE
    return ask


def unanswered(item: Item) -> Answer:
    """What stands for an answer that was not given; scored wrong."""
    return NO_CONVERSATION if item.category in MULTI_TURN else NO_MESSAGE


def state_of(messages: Sequence[Message], steps: Sequence[Step] = ()) -> State:
    """A conversation as a state from which the next message is taken.

    Messages of the user's that follow each other (3 of 4,441 items of BFCL begin so) are one, since many chat templates refuse them.

    Args:
        messages: OpenAI form; a system message may come first, then a user's.
        steps: the assistant's messages in order, as sampled; where there are none, the messages' own texts.
    """
    has_system = messages[0]["role"] == "system"
    sampled, replies, blocks = iter(steps), [], [[]]   # a block is what others say between two replies
    for message in messages[has_system:]:
        if message["role"] == "assistant":
            replies.append(next(sampled, None) or Step(message["content"]))
            blocks.append([])
        else:
            blocks[-1].append(Said(message["role"], message["content"], message.get("name", "")))
    query, *after = map(_joined, blocks)
    turns = tuple((step, said or None) for step, said in zip(replies, after, strict=True))
    return State(query[0].text, (), turns, system=messages[0]["content"] if has_system else "")


def _joined(block: Sequence[Said]) -> tuple[Said, ...]:
    if len(block) > 1 and all(said.role == "user" for said in block):
        return (Said("user", "\n\n".join(said.text for said in block)),)
    return tuple(block)


def _conversation(checker: Checker, item: Item, seed: int, written: Written) -> Ask:
    async def ask(policy: Policy) -> list[list[str]]:
        steps: list[Step] = []

        async def respond(messages: list[Message]) -> str:
            if sum(len(message["content"]) for message in messages) > MAX_CONVERSATION or messages[-1]["content"].startswith(KILLED):
                raise NoMessage
            steps.append(await _next_step(policy, state_of(messages, steps), item.item_id, len(steps), seed, written))
            return steps[-1].thought

        try:
            return await converse(checker, item, respond)
        except NoMessage:
            return NO_CONVERSATION
    return ask


async def _next_step(policy: Policy, state: State, item_id: str, index: int, seed: int, written: Written) -> Step:
    """The policy's next message as a step of text alone, with the token ids that it was sampled as.

    A text longer than the parsers read is cut behind their limit: it is refused there, cut or whole.
    """
    [[step]] = await policy.sample([state], 1, seeds=[crc32(f"{item_id}|{index}|{seed}".encode())])
    if step.failed and not step.token_ids:
        raise NoMessage
    text = written(step)[:MAX_CHARACTERS + 1].encode("utf-8", "replace").decode()
    return Step(text, token_ids=step.token_ids)
