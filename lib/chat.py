"""States and steps to text and token ids: ONE renderer for training, search and evaluation.

A conversation is cut at its messages, and each message is encoded on its own, so that token ids of a longer conversation
always begin with those of the shorter one. A step that a local model sampled keeps the ids it was sampled as: never decoded and
re-joined. What users, tools and models wrote is content: a chat mark spelt out in it is broken up, so that no tool can forge a
turn.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from lib.quoting import small_beginning
from lib.search.state import FINISH, FunctionSchema, Observation, Said, State, Step
from lib.toolcall import step_text

Message = dict[str, Any]

# The small base model's own template: a function is one line of signature and description.
COMPACT_TEMPLATE = r"""
{%- if tools or (messages and messages[0].role == 'system') -%}<|system|>
{%- if messages and messages[0].role == 'system' %}{{ messages[0].content + '\n' }}
{%- endif %}
{%- for tool in tools or [] %}{% set f = tool.function if tool.function is defined else tool %}
{%- if f.name != 'Finish' and f.description %}{% set d = f.description %}
{{- d[:1] | lower if d[1:2] == d[1:2] | lower else d[:1] }}{{ d[1:] }} = {% endif %}
{{- f.name }}(
{%- for name, p in f.parameters.properties.items() %}
{%- if not loop.first %}, {% endif %}{{ name }}{% if name not in (f.parameters.required or []) %}?{% endif %}: {{ (p.enum | join('|')) if p.enum else p.type }}
{%- endfor -%}
)
{{- '\n' }}
{%- endfor -%}<|end|>
{%- endif -%}
{%- for m in messages %}
{%- if m.role == 'assistant' -%}<|assistant|>{{ m.content or '' }}
{%- for c in m.tool_calls or [] %}<tool_call>{"name":{{ c.function.name | tojson }},"arguments":
{{- c.function.arguments if c.function.arguments is string else c.function.arguments | tojson(separators=(',', ':')) }}}</tool_call>{% endfor %}<|end|>
{%- elif m.role == 'user' -%}<|user|>{{ m.content }}<|end|>
{%- elif m.role == 'tool' -%}<|tool|>{{ m.content }}<|end|>
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt %}<|assistant|>{% endif -%}
"""  # noqa: E501 - a line break would be written into the conversation


def compact_head(system: str, functions: Sequence[FunctionSchema], query: str) -> str:
    """What COMPACT_TEMPLATE writes before the first turn; rendering it here is ten times as fast as Jinja."""
    lines = [system] if system else []
    for f in functions:
        required = f["parameters"].get("required") or ()
        fields = (
            f"{name}{'' if name in required else '?'}: {'|'.join(map(str, p['enum'])) if p.get('enum') else p.get('type', '')}"
            for name, p in f["parameters"]["properties"].items()
        )
        document = "" if f["name"] == FINISH or not f.get("description") else f"{small_beginning(f['description'])} = "
        lines.append(f"{document}{f['name']}({', '.join(fields)})")
    documents = "<|system|>" + "".join(line + "\n" for line in lines) + "<|end|>" if lines else ""
    return f"{documents}<|user|>{query}<|end|>"


def step_message(step: Step) -> Message:
    """An assistant message in OpenAI form; a call whose arguments are no JSON stays text."""
    if not step.is_call:
        return {"role": "assistant", "content": step.thought}
    try:
        arguments = json.loads(step.arguments or "{}")
    except (ValueError, RecursionError):   # ValueError, not JSONDecodeError alone: an integer of thousands of digits
        return {"role": "assistant", "content": step_text(step)}
    call = {"type": "function", "function": {"name": step.name, "arguments": arguments}}
    return {"role": "assistant", "content": step.thought, "tool_calls": [call]}


def state_messages(state: State) -> list[Message]:
    """The conversation of a state in OpenAI form."""
    messages: list[Message] = [{"role": "system", "content": state.system}] if state.system else []
    messages.append({"role": "user", "content": state.query})
    for step, observation in state.turns:
        messages.append(step_message(step))
        if isinstance(observation, tuple):
            messages += map(said_message, observation)
        elif observation is not None:
            messages.append({"role": "tool", "name": step.name, "content": observation.text})
    if state.diversity:
        messages.append({"role": "user", "content": state.diversity})
    return messages


def said_message(said: Said) -> Message:
    """A message between two steps in OpenAI form; only a tool's has a name."""
    named = {"name": said.name} if said.role == "tool" else {}
    return {"role": said.role, **named, "content": said.text}


def as_tools(functions: Sequence[FunctionSchema]) -> list[dict[str, Any]] | None:
    """Function schemas in the form that chat templates take; None, never [], where there are none."""
    return [{"type": "function", "function": f} for f in functions] or None


class Chat:
    """A tokenizer with its chat template, seen as segments that can be joined.

    Args:
        tokenizer: a transformers tokenizer with a chat template.
    Raises:
        ValueError: the template writes a message differently once others follow it, so segments cannot be joined; or it does
            not end the assistant's messages with the tokenizer's end-of-sequence token, at which sampling stops.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self._compact = tokenizer.chat_template == COMPACT_TEMPLATE
        self._before = _what_hides_the_beginning(tokenizer)
        marks = sorted(tokenizer.get_added_vocab(), key=len, reverse=True)  # longest first: one may begin another
        self._marks = re.compile("|".join(map(re.escape, marks)) or "(?!)")
        self._ask: list[Message] = [{"role": "user", "content": "q"}]
        self._base = self._render(self._ask)
        self.generation_ids = self._encode(self._render(self._ask, generation=True).removeprefix(self._base))
        self._after_step_ids = self._encode(self._split_end(self._written({"role": "assistant", "content": "a"}))[1])
        self._step_ids = lru_cache(maxsize=8_192)(self._encode_step)   # some tens of kB each: enough for the searches under way
        self.observation_ids = lru_cache(maxsize=8_192)(self._encode_observation)
        self.said_ids = lru_cache(maxsize=1_024)(self._encode_said)   # few: results of BFCL's calls may be very long
        self._head_ids = lru_cache(maxsize=1_024)(self._encode_head)
        self._check()

    def state_ids(self, state: State) -> list[int]:
        """Token ids of the conversation, up to where the assistant begins to write, or goes on where a message has begun."""
        ids = list(self.head_ids(state))
        for step, observation in state.turns:
            ids += self.generation_ids
            ids += self.step_ids(step)
            ids += self._after_step_ids
            if isinstance(observation, tuple):
                ids += self.said_ids(observation)
            elif observation is not None:
                ids += self.observation_ids(step.name, observation.text)
        if state.diversity:
            ids += self.user_ids(state.diversity)
        return [*ids, *self.generation_ids, *state.begun]

    def head_ids(self, state: State) -> Sequence[int]:
        """Token ids of what stands before the first turn: task description, functions, query."""
        return self._head_ids(state.system, _Key(state.functions), state.query)

    def step_ids(self, step: Step) -> Sequence[int]:
        """Token ids of one assistant message up to its end-of-turn token, included; as sampled where it was sampled."""
        return step.token_ids or self._step_ids(step.thought, step.name, step.arguments)

    def _encode_step(self, thought: str, name: str, arguments: str) -> tuple[int, ...]:
        step = Step(self._inert(thought), self._inert(name), self._inert(arguments))
        if self._compact:
            return tuple(self._encode(step_text(step) + "<|end|>"))
        return tuple(self._encode(self._split_end(self._written(step_message(step)))[0]))

    def _written(self, message: Message) -> str:
        """What the template writes for an assistant message, from where the assistant begins to write."""
        return _remainder(self._render([*self._ask, message]), self._render(self._ask, generation=True))

    def _split_end(self, text: str) -> tuple[str, str]:
        """An assistant's message up to its end-of-turn token, and what the template writes behind it (ChatML: a line break)."""
        end = self.tokenizer.eos_token
        message, found, after = text.rpartition(end) if end else ("", "", "")
        if not found:
            raise ValueError(
                f"chat template of {self.tokenizer.name_or_path}: an assistant's message reads {text!r}, without the "
                f"tokenizer's eos_token {end!r} at which sampling stops. Set tokenizer.eos_token to the token that ends a turn."
            )
        return message + end, after

    def _inert(self, text: str) -> str:
        """Text in which no chat mark stands: each is broken by a space after its first character."""
        return self._marks.sub(lambda mark: f"{mark[0][0]} {mark[0][1:]}", text)

    def _encode_observation(self, name: str, text: str) -> tuple[int, ...]:
        text = self._inert(text)
        if self._compact:
            return tuple(self._encode(f"<|tool|>{text}<|end|>"))
        before = [*self._ask, step_message(Step(name=name or "f", arguments="{}"))]
        after = [*before, {"role": "tool", "name": name, "content": text}]
        return tuple(self._encode(_remainder(self._render(after), self._render(before))))

    def _encode_said(self, messages: tuple[Said, ...]) -> tuple[int, ...]:
        """Token ids of what stands between two steps: results of a message's calls, or what the user says next."""
        inert = [said_message(Said(one.role, self._inert(one.text), self._inert(one.name))) for one in messages]
        if self._compact:
            return tuple(self._encode("".join(f"<|{one['role']}|>{one['content']}<|end|>" for one in inert)))
        step = Step(name="f", arguments="{}") if messages[0].role == "tool" else Step("a")
        before = [*self._ask, step_message(step)]
        return tuple(self._encode(_remainder(self._render([*before, *inert]), self._render(before))))

    def user_ids(self, text: str) -> list[int]:
        """Token ids of a user message inside a conversation."""
        text = self._inert(text)
        if self._compact:
            return self._encode(f"<|user|>{text}<|end|>")
        before = [*self._ask, {"role": "assistant", "content": "a"}]
        return self._encode(_remainder(self._render([*before, {"role": "user", "content": text}]), self._render(before)))

    def _encode_head(self, system: str, functions: _Key, query: str) -> tuple[int, ...]:
        query = self._inert(query)
        if self._compact:
            return tuple(self._encode(compact_head(system, functions.value, query)))
        messages = state_messages(State(query, functions.value, system=system))
        return tuple(self._encode(self._render(messages, tools=as_tools(functions.value))))

    def _render(self, messages: list[Message], *, tools: list[dict] | None = None, generation: bool = False) -> str:
        return self.tokenizer.apply_chat_template(messages, tools=tools, add_generation_prompt=generation, tokenize=False)

    def _encode(self, text: str) -> list[int]:
        """Token ids of a segment as it stands inside a text: SentencePiece puts a space before what it takes for a beginning."""
        if not self._before:
            return self.tokenizer.encode(text, add_special_tokens=False)
        return self.tokenizer.encode(self._before + text, add_special_tokens=False)[1:]

    def _check(self) -> None:
        """Refuse a template whose joined segments are not the whole."""
        function = {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {}, "required": []}}
        turns = ((Step("t", "f", '{"x":1}'), Observation("o", 0)), (Step("u"), None))
        state = State("q", (function,), turns, diversity="d")
        whole = self._render(state_messages(state), tools=as_tools(state.functions), generation=True)
        if self.tokenizer.decode(self.state_ids(state)) != whole:
            raise ValueError(
                f"chat template of {self.tokenizer.name_or_path}: a message reads differently once others follow it, so a "
                "longer conversation does not begin with the shorter one. Use a template that renders each message on its own."
            )


class _Key:
    """Function schemas as a dictionary key: by identity of the tuple, which states of one search share."""

    def __init__(self, value: tuple[FunctionSchema, ...]) -> None:
        self.value = value

    def __hash__(self) -> int:
        return hash(tuple(f["name"] for f in self.value))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and (self.value is other.value or self.value == other.value)


def _what_hides_the_beginning(tokenizer: Any) -> str:
    """The end token, where a word after it is written otherwise than at the beginning of a text; "" where there is no difference."""
    end = tokenizer.eos_token or ""
    first, after = (tokenizer.encode(text, add_special_tokens=False) for text in ("word", end + "word"))
    return end if end and after[1:] != first else ""


def _remainder(text: str, start: str) -> str:
    if not text.startswith(start):
        raise ValueError("chat template: a conversation does not begin with its first messages; use a template that does.")
    return text[len(start):]
