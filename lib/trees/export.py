"""States, steps and pairs in other programs' words: ToolBench's training messages, TRL's preference rows, ToolPreference's.

Nothing here is read back by us; our own stores are in `store.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from lib.atomic import moved_into_place
from lib.chat import said_message
from lib.search.state import State, Step, Turn
from lib.trees.pairs import PreferencePair
from lib.trees.record import Tree
from lib.trees.steps import Edge, answer_edges

Message = dict[str, Any]
LEVELS_AROUND = 8  # of a row around a call's arguments, at most; orjson writes 254 in all


def train_messages(tree: Tree, path: Sequence[Edge] | None = None) -> list[list[Message]]:
    """ToolBench's `train_messages`: for each step to the answer, the messages up to and including it; no diversity message.

    ToolBench itself leaves the last diversity message in, flagged `"valid": false`. `path` is `answer_edges`, where it is known.
    """
    path = answer_edges(tree) if path is None else path
    messages: list[Message] = [{"role": "system", "content": tree.system},
                               {"role": "user", "content": f"\n{tree.query}\nBegin!\n"}]
    samples = []
    for turn in (turn for edge in path for turn in edge.shown):
        message, *answer = _toolbench_messages(turn)
        messages.append(message)
        samples.append(list(messages))
        messages += answer
    return samples


def to_trl(pair: PreferencePair) -> dict[str, Any]:
    """TRL's conversational preference row {prompt, chosen, rejected, tools}.

    Arguments are objects where they are JSON objects, as chat templates expect, else the raw text. Do not pass such rows to
    `Dataset.from_list`: Arrow unites the objects' keys and fills them with nulls. JSON lines keep them as they are.
    The sides of a path-wise pair are several messages, those of tools among them.
    """
    return {"prompt": list(_conversation(pair.state)), "chosen": list(_turns(pair.chosen_path or ((pair.chosen, None),))),
            "rejected": list(_turns(pair.rejected_path or ((pair.rejected, None),))),
            "tools": [{"type": "function", "function": function} for function in pair.state.functions]}


def to_toolpreference(pair: PreferencePair) -> dict[str, Any]:
    """A row {id, category, instruction, input, output} with output = [preferred, dispreferred].

    Source: Chen et al. 2024, arXiv 2406.07115, Sec. 4.2: the instruction holds the task and the API documentation, the
    input the query and the steps so far. The wording of a step is ToolBench's (preprocess_toolllama_data.py).
    """
    functions = orjson.dumps(pair.state.functions).decode()
    instruction = f"{pair.state.system}\nSpecifically, you have access to the following APIs: {functions}".lstrip()
    history = [part for turn in pair.state.turns for part in _react_turn(turn)]
    return {"id": f"{pair.tree_id}:{pair.depth}", "category": pair.scenario, "instruction": instruction,
            "input": "\n".join([pair.state.query, *history]),
            "output": [_react_side(pair.chosen, pair.chosen_path), _react_side(pair.rejected, pair.rejected_path)]}


def write_rows(path: Path, rows: Iterable[dict[str, Any]]) -> int:
    """Write rows as JSON lines, or as one JSON list where the name ends in .json (ToolPreference's own file), and return how many.

    Rows are written one at a time; the file appears whole or not at all.
    """
    count = 0
    with row_file(path) as write:
        for row in rows:
            write(orjson.dumps(row))
            count += 1
    return count


@contextmanager
def row_file(path: Path) -> Iterator[Callable[[bytes], None]]:
    """The file of `write_rows` as a function that adds one row's JSON to it."""
    before, between, after = (b"[\n", b",\n", b"\n]\n") if path.suffix == ".json" else (b"", b"\n", b"\n")
    count = 0
    with moved_into_place(path) as part, part.open("wb") as file:
        def write(row: bytes) -> None:
            nonlocal count
            file.write((between if count else b"") + row)
            count += 1

        file.write(before)
        yield write
        file.write(after if count or before else b"")


def react_text(step: Step) -> str:
    """A step in ToolBench's lines "Thought: ... Action: ... Action Input: ..."; the last two only where it calls."""
    lines = [f"Thought: {step.thought}"]
    if step.is_call:
        lines += [f"Action: {step.name}", f"Action Input: {step.arguments}"]
    return "\n".join(lines)


def _toolbench_messages(turn: Turn) -> list[Message]:
    step, observation = turn
    message: Message = {"role": "assistant", "content": step.thought or None}
    if not step.is_call:
        return [message]
    message["function_call"] = {"name": step.name, "arguments": step.arguments}
    return [message, {"role": "function", "name": step.name, "content": observation.text if observation else ""}]


def _conversation(state: State) -> Iterator[Message]:
    if state.system:
        yield {"role": "system", "content": state.system}
    yield {"role": "user", "content": state.query}
    yield from _turns(state.turns)


def _turns(turns: Iterable[Turn]) -> Iterator[Message]:
    for step, observation in turns:
        yield _assistant(step)
        if isinstance(observation, tuple):
            yield from map(said_message, observation)
        elif observation is not None:
            yield {"role": "tool", "name": step.name, "content": observation.text}


def _assistant(step: Step) -> Message:
    message: Message = {"role": "assistant", "content": step.thought}
    if step.is_call:
        call = {"name": step.name, "arguments": _object_or_text(step.arguments)}
        message["tool_calls"] = [{"type": "function", "function": call}]
    return message


def _object_or_text(arguments: str) -> dict[str, Any] | str:
    """The arguments as an object; as written where they are none, or nested too deep to be written inside a row."""
    try:
        parsed = wrapped = orjson.loads(arguments)
        for _ in range(LEVELS_AROUND):
            wrapped = [wrapped]
        orjson.dumps(wrapped)
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return arguments
    return parsed if isinstance(parsed, dict) else arguments


def _react_side(step: Step, path: tuple[Turn, ...]) -> str:
    return "\n".join(part for turn in path for part in _react_turn(turn)) if path else react_text(step)


def _react_turn(turn: Turn) -> list[str]:
    step, observation = turn
    if isinstance(observation, tuple):
        return [react_text(step), *(f"{'Function' if said.role == 'tool' else 'User'}: {said.text}" for said in observation)]
    return [react_text(step)] if observation is None else [react_text(step), f"Function: {observation.text}"]
