"""The paper's profile, proved on miniatures: the four architectures with random weights, each with its own type of tokenizer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    GemmaConfig,
    LlamaConfig,
    MistralConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
)

from lib import pipeline
from lib.chat import Chat
from lib.policy.load import load_model
from lib.policy.local import LocalPolicy
from lib.search.state import Observation, State, Step
from lib.train.loop import Schedule, reference_logps, train_preferences, train_sft
from lib.train.rows import pair_row, sft_rows
from lib.trees.pairs import PreferencePair
from lib.trees.sft import SftSample

ROOT = Path(__file__).parents[1]
SIZES = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
         "max_position_embeddings": 512, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
CONFIGS = {"llama": LlamaConfig, "mistral": MistralConfig, "qwen": Qwen2Config, "gemma": GemmaConfig}
FUNCTION = {"name": "weather_for_skies", "description": "The weather of a day.", "parameters": {
    "type": "object", "properties": {"day": {"type": "string"}}, "required": ["day"]}}
FIRST = Step("I need the day's weather.", "weather_for_skies", '{"day":"2024-05-01"}')
SEEN = Observation('{"error":"","response":{"weather":"  mild — 17 °C"}}', 0)
ANSWER = Step("", "Finish", '{"return_type":"give_answer","final_answer":"mild"}')
START = State("How is the weather on 2024-05-01?", (FUNCTION,), system="You use tools.")
TEXTS = ["System: You use tools. User: How is the weather? Function: mild Assistant: <tool_call> arguments name weather day"] * 3


def sentencepiece(decoder: list[Any], *, prefix: bool) -> Tokenizer:
    """Byte-pair encoding in SentencePiece's manner: spaces are letters, unknown characters bytes."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first" if prefix else "never")
    tokenizer.train_from_iterator(TEXTS, trainers.BpeTrainer(vocab_size=120, special_tokens=["<pad>", "<s>", "</s>"], show_progress=False))
    tokenizer.model = with_bytes(tokenizer)
    tokenizer.decoder = decoders.Sequence(decoder)
    return tokenizer


def with_bytes(tokenizer: Tokenizer) -> models.BPE:
    """The trained model with an entry for every byte."""
    state = json.loads(tokenizer.to_str())["model"]
    vocabulary = dict(state["vocab"])
    for byte in range(256):
        vocabulary.setdefault(f"<0x{byte:02X}>", len(vocabulary))
    return models.BPE(vocab=vocabulary, merges=[tuple(pair) for pair in state["merges"]], byte_fallback=True)


def byte_level() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(r"\p{N}|[^\s\p{L}\p{N}]+|\s?\p{L}+|\s+"), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(TEXTS, trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<pad>", "<s>", "</s>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    return tokenizer


def stripping() -> list[Any]:
    """Llama's and Mistral's decoder: the space before the first word is taken away again."""
    return [*plain(), decoders.Strip(" ", 1, 0)]


def plain() -> list[Any]:
    return [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]


TOKENIZERS: dict[str, Callable[[], Tokenizer]] = {
    "llama": lambda: sentencepiece(stripping(), prefix=True), "mistral": lambda: sentencepiece(stripping(), prefix=True),
    "qwen": byte_level, "gemma": lambda: sentencepiece(plain(), prefix=False),
}


@pytest.fixture(params=sorted(CONFIGS))
def miniature(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A folder with a random model of the architecture and a tokenizer of its type, without a chat template."""
    name, folder = request.param, tmp_path / request.param
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=TOKENIZERS[name](), pad_token="<pad>", bos_token="<s>", eos_token="</s>",
                                        clean_up_tokenization_spaces=False)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    head = {"head_dim": 16} if name == "gemma" else {}
    config = CONFIGS[name](vocab_size=len(tokenizer), **SIZES, **head)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    yield name, folder


def test_a_miniature_goes_the_whole_way_of_the_profile(miniature: tuple[str, Path]):
    """Loaded with stretched positions, fine-tuned, preference-trained, and sampled from as plain `generate` does."""
    name, folder = miniature
    model, tokenizer = load_model(folder, rope_factor=2.0)
    assert model.config.max_position_embeddings == 1024 and model.config.rope_parameters["rope_type"] == "linear"
    chat = Chat(tokenizer)
    middle = START.after(FIRST, SEEN)
    samples = [SftSample(START, FIRST, "t", "7", "train", 0), SftSample(middle, ANSWER, "t", "7", "train", 1)]
    [row] = sft_rows(samples, chat)
    curve = train_sft(model, [[row] * 8], Schedule(3, 2, 1e-2), seed=0)
    assert curve[-1]["loss"] < 0.7 * curve[0]["loss"]
    pairs = [PreferencePair(START, FIRST, Step("", "wether", "{}"), 0, "t", "7"), PreferencePair(middle, ANSWER, FIRST, 1, "t", "7")]
    rows = [pair_row(pair, chat) for pair in pairs]
    references = reference_logps(model, rows, batch_size=2)
    curve = train_preferences(model, rows * 4, references * 4, Schedule(3, 2, 1e-3), beta=0.5, seed=0)
    assert curve[-1]["margin"] > 0 and curve[-1]["accuracy"] == 1.0
    policy = LocalPolicy(model, chat, temperature=0.0, max_new_tokens=24, max_context=1024)
    [[first], [second]] = asyncio.run(policy.sample([START, middle], 1, seeds=[0, 1]))
    for state, step in ((START, first), (middle, second)):
        ids = torch.tensor([chat.state_ids(state)])
        expected = model.generate(ids, max_new_tokens=24, do_sample=False, pad_token_id=0, eos_token_id=2)[0, ids.size(1):].tolist()
        assert list(step.token_ids)[:-1] == expected[:len(step.token_ids) - 1], name


def test_segments_of_a_conversation_are_the_conversation(miniature: tuple[str, Path]):
    _, folder = miniature
    tokenizer = load_model(folder)[1]
    chat = Chat(tokenizer)                                                   # raises where they are not
    ids = chat.state_ids(START.after(FIRST, SEEN))
    assert ids[0] == tokenizer.bos_token_id and ids.count(tokenizer.eos_token_id) == 1
    text = tokenizer.decode(ids)
    assert text.startswith("<s>System: You use tools.\n") and SEEN.text in text and text.endswith("Assistant:\n")


def test_stretching_is_refused_where_positions_are_of_another_kind(tmp_path: Path):
    stretched = {"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0}
    LlamaConfig(**SIZES, vocab_size=300, rope_parameters=stretched).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="rotary positions of type 'linear', expected 'default'"):
        load_model(tmp_path, rope_factor=2.0)


def test_the_papers_profile_is_one_that_the_pipeline_takes():
    stages = {stage.name: stage.values for stage in pipeline.plan(ROOT / "params" / "tp_llama", ROOT / "notebooks")}
    assert list(stages) == ["01_preference_data", "02_curriculum_sft", "03_tree_dpo", "05_evaluation", "06_compare"]
    sft, dpo = stages["02_curriculum_sft"], stages["03_tree_dpo"]
    assert (sft["epochs"], sft["learning_rate"], sft["max_length"]) == (2, 1e-5, 8192)
    assert (dpo["epochs"], dpo["learning_rate"], dpo["beta"], dpo["batch_size"], dpo["max_pairs"]) == (1, 1e-6, 0.5, 8, 8202)
    assert stages["05_evaluation"]["max_queries"] == 200
