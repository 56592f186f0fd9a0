"""A chat template that writes today's date gives another prompt tomorrow: a run could not be repeated, nor one gone on with.

Llama-3.2's does, Llama-3.1's has a date of its own; both take `date_string` where it is set.
"""

from __future__ import annotations

from typing import Any

DATE = "26 Jul 2024"   # that of Llama-3.1's template, and of 3.2's where no clock is at hand
_SET = f'{{%- set date_string = "{DATE}" -%}}'


def with_fixed_date(tokenizer: Any) -> Any:
    """The tokenizer, its chat template told DATE where it asks the clock for `date_string`.

    Raises:
        ValueError: the template asks the clock for something else.
    """
    template = tokenizer.chat_template
    if "strftime_now" not in template or template.startswith(_SET):
        return tokenizer
    if "date_string is defined" not in template:
        raise ValueError(f"chat template of {tokenizer.name_or_path}: writes today's date, and takes no `date_string` in its place. "
                         "Put a fixed date into the template, or a prompt will read differently tomorrow.")
    tokenizer.chat_template = _SET + template
    return tokenizer
