"""What a model pre-trained on plain text lacks for this work: a chat template, and room for long conversations."""

from __future__ import annotations

from typing import Any

from transformers import AutoConfig

# Roles by their names at the line's beginning, as ToolLLaMA was trained (ToolBench's template tool-llama-single-round), functions as
# JSON lines after the task description; an assistant's message ends with the end-of-sequence token. Nothing but line breaks divides
# the roles: a tool that answers with a line "User:" can pose as one, which templates with tokens of their own do not allow.
PLAIN_TEMPLATE = r"""
{%- if bos_token is defined and bos_token %}{{ bos_token }}{% endif -%}
{%- if tools or (messages and messages[0].role == 'system') -%}
{{ 'System: ' }}{% if messages and messages[0].role == 'system' %}{{ messages[0].content }}{% endif %}{{ '\n' }}
{%- for tool in tools or [] %}{{ (tool.function if tool.function is defined else tool) | tojson }}{{ '\n' }}{% endfor -%}
{%- endif -%}
{%- for m in messages -%}
{%- if m.role == 'user' -%}{{ 'User: ' + m.content + '\n' }}
{%- elif m.role == 'assistant' -%}{{ 'Assistant:\n' + (m.content or '') }}
{%- for c in m.tool_calls or [] %}<tool_call>{"name":{{ c.function.name | tojson }},"arguments":
{{- c.function.arguments if c.function.arguments is string else c.function.arguments | tojson(separators=(',', ':')) }}}</tool_call>
{%- endfor %}
{{- eos_token + '\n' }}
{%- elif m.role == 'tool' -%}{{ 'Function: ' + m.content + '\n' }}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt %}{{ 'Assistant:\n' }}{% endif -%}
"""


def with_template(tokenizer: Any) -> Any:
    """The tokenizer, with PLAIN_TEMPLATE where it has no chat template."""
    if not tokenizer.chat_template:
        tokenizer.chat_template = PLAIN_TEMPLATE
    return tokenizer


def stretched_config(source: str, rope_factor: float) -> Any:
    """The configuration of the model at `source`, with positions interpolated to `rope_factor` times its context.

    Source: Chen et al. 2023 (position interpolation), arXiv 2306.15595, Eq. 4; TP-LLaMA stretches Llama-2's 4,096 tokens to 8,192.
    Raises:
        ValueError: the configuration has positions of another kind, or stretched ones already.
    """
    config = AutoConfig.from_pretrained(source)
    rope = dict(getattr(config, "rope_parameters", None) or {})
    if rope.get("rope_type", "") != "default":
        raise ValueError(f"rope_factor {rope_factor}: {source} has rotary positions of type {rope.get('rope_type', 'none')!r}, expected "
                         "'default'. Set rope_factor to 1.")
    config.rope_parameters = {**rope, "rope_type": "linear", "factor": rope_factor}
    config.max_position_embeddings = int(config.max_position_embeddings * rope_factor)
    return config
