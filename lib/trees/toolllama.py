"""SFT samples in the layout of ToolBench's processed file, on which ToolLLaMA was trained: {id, conversations}.

Corrections against preprocess_toolllama_data.py: the thought of a message that also calls is kept, there it is dropped; text in
several messages before a call stays in separate lines "Thought:", there too, but no diversity message stands between them; a
sample that ends in text alone is kept, there it is dropped (`ends_in_a_call` tells them apart); a system prompt of the older
generation takes the format lines at its end, there it stops the program.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lib.search.state import State, Step
from lib.trees.sft import SftSample

CALL_SENTENCE = "with a function call to actually excute your step."    # ToolBench's own spelling, in its later system prompt
FORMAT = " Your output should follow this format:\nThought:\nAction\nAction Input:\n"
FUNCTIONS = "\nSpecifically, you have access to the following APIs: "
Message = dict[str, str]


def to_toolllama(sample: SftSample) -> dict[str, Any]:
    """One sample {id, conversations}; the id counts messages as ToolBench does, from 0 and without diversity messages.

    Function schemas are written as Python's repr, as in ToolBench's file.
    Source: preprocess/preprocess_toolllama_data.py and process_system_message of OpenBMB/ToolBench.
    """
    num_messages = 2 + sum(1 if seen is None else 2 for _, seen in sample.state.turns)
    return {"id": f"Step {num_messages}: {sample.state.query}",
            "conversations": [*_opening(sample.state), *_turns(sample.state, sample.step)]}


def ends_in_a_call(sample: SftSample) -> bool:
    """True for the samples that ToolBench's own file holds too."""
    return sample.step.is_call


def system_text(state: State) -> str:
    """The system prompt with the format of a step in it and the functions after it."""
    with_format = (state.system.replace(CALL_SENTENCE, CALL_SENTENCE + FORMAT) if CALL_SENTENCE in state.system
                   else state.system + FORMAT)
    return f"{with_format}{FUNCTIONS}{list(state.functions)}"


def _opening(state: State) -> list[Message]:
    return [{"from": "system", "value": system_text(state)}, {"from": "user", "value": f"\n{state.query}\nBegin!\n"}]


def _turns(state: State, target: Step) -> Iterator[Message]:
    """The steps so far with their observations, and the step to be learnt; text alone goes to the next call's message."""
    text = ""
    for step, observation in [*state.turns, (target, None)]:
        text += _lines(step, has_thought=bool(text))
        if step.is_call:
            yield {"from": "assistant", "value": text}
            text = ""
        if observation is not None:
            yield {"from": "function", "value": observation.text}
    if text:
        yield {"from": "assistant", "value": text}


def _lines(step: Step, *, has_thought: bool) -> str:
    """A step's lines; a call without a thought has an empty one, unless a message of text alone stands before it."""
    thought = f"\nThought: {step.thought}" if step.thought or not has_thought else ""
    return thought + (f"\nAction: {step.name}\nAction Input: {step.arguments}" if step.is_call else "")
