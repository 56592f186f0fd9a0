"""The small base model's tokenizer: byte-level BPE trained on made-up worlds, digits one by one, chat marks as single tokens."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from lib.chat import COMPACT_TEMPLATE, Chat
from lib.worlds.episode import make_row

SPECIAL = ("<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>", "<|tool|>", "<tool_call>", "</tool_call>")

ATLAS_SHARE = 0.75   # of the rows whose text the entries are found in: most are in natural English
# Words that hardly ever have to be copied: each is one token with the space before it. All other spaces stand alone.
COMMON = (
    "the|of|a|an|and|is|for|in|on|to|by|what|which|that|has|with|as|at|from|its|it|me|I|my|this|be|or|not|you|we|how|are|do|then|"
    "string|number|integer"
)


def train_tokenizer(*, vocab_size: int = 6144, num_rows: int | None = None, seed: int = 0) -> PreTrainedTokenizerFast:
    """A tokenizer with `vocab_size` entries, special tokens first, trained on the text of `num_rows` rows (as many as entries if None).

    A word is the same tokens after a space, a quotation mark or an underscore: what a question, a document, a call and an answer
    share can be matched and copied token by token. With GPT-2's split, where a word swallows the space before it, one word is
    spelt in two ways, and the model has to learn by heart which go together.
    """
    tokenizer = Tokenizer(models.BPE())
    splits = [
        pre_tokenizers.Split(Regex(rf" (?:{COMMON})(?!\w)|[\d #+*/^=_'.-]|,(?!\")"), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
    ]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(splits)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(num_rows or vocab_size, seed), trainer)
    return wrap(tokenizer)


def kept_tokenizer(folder: Path, train: Callable[[], PreTrainedTokenizerFast]) -> PreTrainedTokenizerFast:
    """The tokenizer in `folder`, trained and put there first where it is missing: a checkpoint is worth nothing without its own."""
    path = folder / "tokenizer"
    if not path.exists():
        train().save_pretrained(path.with_suffix(".part"))
        os.replace(path.with_suffix(".part"), path)
    return AutoTokenizer.from_pretrained(path)


def wrap(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    """The transformers form, with the compact chat template."""
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<|pad|>",
        eos_token="<|end|>",
        chat_template=COMPACT_TEMPLATE,
        model_max_length=2048,
        clean_up_tokenization_spaces=False,
    )


def _texts(num_rows: int, seed: int) -> Iterator[str]:
    """Rows as text: rendered with a tokenizer of bytes, then decoded."""
    rng = Random(seed)
    chat = Chat(wrap(_bytes_tokenizer()))
    for _ in range(num_rows):
        row = make_row(rng, chat, num_functions=rng.randint(2, 8), num_queries=2, atlas_share=ATLAS_SHARE)
        text = chat.tokenizer.decode(row.ids)
        for special in SPECIAL:
            text = text.replace(special, "\n")
        yield text


def _bytes_tokenizer() -> Tokenizer:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {token: index for index, token in enumerate([*SPECIAL, *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(SPECIAL))
    return tokenizer
