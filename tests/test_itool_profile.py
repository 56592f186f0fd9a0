"""params/itool on miniatures: ToolACE rows to turns, warm-up from easy to hard, and rounds of search inside the held-back answers, in the
notebooks themselves, with random models of the paper's three architectures, tokenizers of their type and their chat templates."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import nbformat
import pytest
import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedTokenizerFast, Qwen2Config

from lib import pipeline, tracking
from lib.chat import Chat
from lib.data.arrow import read_samples, write_samples
from lib.data.formats import read_toolace
from lib.data.formats_out import to_brackets
from lib.data.formats_turns import tool_message
from lib.data.hub_samples import KINDS
from lib.data.sample import FieldError, ToolCall, ToolSample, assistant_message, gold_message
from lib.data.turns import turn_of
from lib.params import freeze
from lib.policy.fixed_date import DATE, with_fixed_date
from lib.policy.load import load_model
from lib.search.mcts import Rules
from lib.search.mcts_turns import Judging, search_answers, written_calls
from lib.search.outcome import exact_outcome
from lib.search.state import Observation, Said, State, Step
from lib.stages import CurriculumSftParams
from lib.train import warm_up
from lib.train.answer_buffer import answer_buffer
from lib.train.rows import pair_row, sft_rows
from lib.trees.journal import TreeJournal
from lib.trees.store import read_pairs, write_pairs
from lib.trees.value_pairs import PairRules, value_pairs

ROOT = Path(__file__).parents[1]
HEAD = "You compose calls. Here is a list of functions in JSON format that you can invoke:\n"
TAIL = ". Should you decide to return the function call(s). Put it in the format of [f(x=1)] NO other text MUST be included."
CITIES = ("Rome", "Oslo", "Lima", "Bern", "Kyiv", "Riga", "Doha", "Baku")


def tool(name: str, *parameters: str) -> dict[str, Any]:
    return {"name": name, "description": "", "parameters": {
        "type": "dict", "properties": {p: {"type": "string"} for p in parameters}, "required": list(parameters)}, "required": None}


WEATHER, TRENDS = tool("sky/now", "city"), tool("Market Trends API", "kind", "country")


def row(tools: list[dict[str, Any]], *turns: str, roles: tuple[str, ...] = ("user", "assistant", "tool", "assistant")) -> dict[str, Any]:
    conversation = [{"from": role, "value": text} for role, text in zip(roles, turns, strict=False)]
    return {"system": HEAD + json.dumps(tools) + TAIL, "conversations": conversation}


def good_rows() -> list[dict[str, Any]]:
    """For each city a call, two calls at once, no call, and a conversation in which the user comes back: five turns."""
    rows = []
    for first, second in zip(CITIES, CITIES[1:] + CITIES[:1], strict=True):
        rows += [
            row([WEATHER], f"Sky in {first}?", f'[sky/now(city="{first}")]'),
            row([WEATHER, TRENDS], f"Sky in {first}, {second}?", f'[sky/now(city="{first}"), sky/now(city="{second}")]'),
            row([TRENDS], f"Sky in {first}?", "No tool fits."),
            row([WEATHER], "Sky?", "Where?", f"In {first}.", f'[sky/now(city="{first}")]', roles=("user", "assistant") * 2),
        ]
    return rows


BAD = {   # field of the reason -> a row with that fault
    "tools": row([], "Sky in Rome?", "No tool fits."),
    "gold_calls[0].name": row([WEATHER], "Sky in Rome?", '[sea/now(city="Rome")]'),
    "conversations[1].from": row([WEATHER], "Sky in Rome?", "No tool fits.", roles=("user", "oracle")),
    "gold": row([WEATHER], "Sky in Rome?", " "),
    "messages": row([WEATHER], "Sky in Rome? " * 200, "No tool fits."),
    "messages[1].role": row([WEATHER], "Sky in Rome?", "And in Oslo?", "No tool fits.", roles=("user", "user", "assistant")),
}


# --- miniatures of the three models ---

LLAMA_MARKS = ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
QWEN_MARKS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<tool_call>", "</tool_call>")
SIZES = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
         "max_position_embeddings": 1024, "initializer_range": 0.2}   # wide enough for adapters alone to learn on
LLAMA_ROPE = {"rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
              "original_max_position_embeddings": 128}
MINIATURES = {   # the paper's model -> its template, marks (beginning, ..., end of a turn), and architecture
    "Llama-3.1-8B-Instruct": ("llama3_1", LLAMA_MARKS, LlamaConfig(**SIZES, rope_parameters=LLAMA_ROPE)),
    "Llama-3.2-3B-Instruct": ("llama3_2", LLAMA_MARKS, LlamaConfig(**SIZES, rope_parameters=LLAMA_ROPE, tie_word_embeddings=True)),
    "Qwen2.5-7B-Instruct": ("qwen2_5", QWEN_MARKS, Qwen2Config(**SIZES)),
}


def byte_level(texts: list[str], marks: tuple[str, ...]) -> Tokenizer:
    """Byte-pair encoding as both families have it: words with their space, punctuation with line breaks behind it, digits in threes."""
    tokenizer = Tokenizer(models.BPE())
    words = Regex(r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(words, "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=700, special_tokens=list(marks), initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    return tokenizer


def new_tokenizer(name: str) -> Any:
    template, marks, _ = MINIATURES[name]
    texts = [row["system"] + "".join(turn["value"] for turn in row["conversations"]) for row in good_rows()]
    end = "<|eot_id|>" if marks is LLAMA_MARKS else "<|im_end|>"
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=byte_level(texts, marks), eos_token=end, pad_token=end,
                                        bos_token=marks[0] if marks is LLAMA_MARKS else None, clean_up_tokenization_spaces=False)
    tokenizer.chat_template = files("trl").joinpath(f"chat_templates/{template}.jinja").read_text()
    return tokenizer


@pytest.fixture(params=sorted(MINIATURES))
def miniature(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The model's name, and a folder with a random one of its kind."""
    name, folder = request.param, tmp_path / request.param
    tokenizer = new_tokenizer(name)
    tokenizer.save_pretrained(folder)
    config = MINIATURES[name][2]
    config.vocab_size, config.eos_token_id, config.pad_token_id = len(tokenizer), tokenizer.eos_token_id, tokenizer.eos_token_id
    config.bos_token_id = tokenizer.bos_token_id
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    yield name, folder


@pytest.fixture(params=sorted(MINIATURES))
def chat(request: pytest.FixtureRequest) -> Chat:
    return Chat(with_fixed_date(new_tokenizer(request.param)))


# --- the profile, end to end ---

def run_notebook(stage: str, values: dict[str, Any]) -> dict[str, Any]:
    """What the notebook's cells leave behind, run one after another in this process."""
    space: dict[str, Any] = {}
    for cell in nbformat.read(ROOT / "notebooks" / f"{stage}.ipynb", as_version=4).cells:
        if cell.cell_type == "code":
            exec(compile(cell.source, stage, "exec"), space)   # noqa: S102
            space |= values if "parameters" in cell.metadata.get("tags", []) else {}
    return space


def test_a_miniature_goes_the_whole_way_of_the_profile(miniature: tuple[str, Path], store: Path, tmp_path: Path):
    name, folder = miniature
    path = tmp_path / "toolace.json"
    path.write_text(json.dumps(good_rows() + list(BAD.values())))
    stages = pipeline.plan(ROOT / "params" / "itool", ROOT / "notebooks")
    profile = {stage.name: stage.values | {"profile": f"itool {name}"} for stage in stages}
    warm = run_notebook("02_curriculum_sft", profile["02_curriculum_sft"] | {
        "base_model": str(folder), "data_path": str(path), "max_length": 512, "epochs": 8, "batch_size": 4, "learning_rate": 0.01})
    assert len(warm["turns"].report.set_aside) == len(BAD) and len(warm["turns"].samples) == 5 * len(CITIES)
    assert [len(part) for part in warm["parts"]] == [12, 12, 12] and len(warm["held_out"]) in (3, 4)
    assert len(warm["measured"]) == 4 and warm["curve"][-1]["loss"] < 0.3 * warm["curve"][0]["loss"]
    means = [sum(score for _, score in part) / len(part) for part in warm["parts"]]
    assert means == sorted(means)
    rounds = run_notebook("04_mcts_dpo", profile["04_mcts_dpo"] | {
        "num_rounds": 2, "hard_share": 1.0, "max_context": 512, "max_length": 1024, "max_new_tokens": 24, "learning_rate": 0.001})
    assert len(rounds["buffer"].held) == len(warm["held_out"]) and rounds["done"].metrics["mcts/pairs"] > 0
    assert rounds["found"].trees[0].forward_args["level"] == "argument"
    last = tracking.product_path(rounds["run"].run_id, "last_pairs.parquet")
    assert [pair.state for pair in read_pairs(last)] == [pair.state for pair in rounds["found"].pairs]


def test_the_profile_is_one_that_the_pipeline_takes():
    stages = {stage.name: stage.values for stage in pipeline.plan(ROOT / "params" / "itool", ROOT / "notebooks")}
    assert list(stages) == ["02_curriculum_sft", "04_mcts_dpo"]
    sft, dpo = stages["02_curriculum_sft"], stages["04_mcts_dpo"]
    assert (sft["order"], sft["learning_rate"], sft["data_format"], sft["call_format"]) == ("easy_to_hard", 5e-5, "toolace", "brackets")
    assert (dpo["num_rounds"], dpo["hard_share"], dpo["num_simulations"], dpo["num_children"]) == (3, 0.2, 5, 3)
    assert (dpo["temperature"], dpo["max_new_tokens"], dpo["beta"], dpo["lora_rank"], dpo["epochs"]) == (1.5, 50, 0.01, 8, 2)


# --- turns: the conversation before the gold message, and the message ---

def test_bracket_turns_are_the_conversation_as_the_template_writes_it(chat: Chat):
    said = ["Sky in Rome?", '[sky/now(city="Rome")]', '[{"name": "sky/now", "results": {"sky": "clear"}}]', "Clear.", "In Oslo, Lima?",
            '[sky/now(city="Oslo"), sky/now(city="Lima")]', "Thanks?", "Welcome."]
    roles = ("user", "assistant", "tool", "assistant", "user", "assistant", "user", "assistant")
    samples = read_toolace(row([WEATHER], *said, roles=roles), "r-1")
    assert [sample.sample_id for sample in samples] == ["r-1:2", "r-1:4", "r-1:6", "r-1:8"]
    for sample, end in zip(samples, (2, 4, 6, 8), strict=True):
        turn = turn_of(sample, chat, "brackets")
        messages = [{"role": "system", "content": turn.state.system},
                    *({"role": role, "content": text} for role, text in zip(roles[:end], said[:end], strict=True))]
        whole = chat.tokenizer.apply_chat_template(messages, tokenize=False).rstrip("\n")
        ids = [*chat.state_ids(turn.state), *chat.step_ids(turn.step)]
        assert chat.tokenizer.decode(ids) == whole and ids == chat.tokenizer.encode(whole, add_special_tokens=False)


IN_ROME, IN_OSLO, IN_LIMA = (ToolCall("sky/now", {"city": city}) for city in ("Rome", "Oslo", "Lima"))


def long_sample(*first: ToolCall) -> ToolSample:
    """A conversation with two results after one message, and a user who goes on behind a text, and again behind a result."""
    messages = (
        {"role": "user", "content": "Sky in Rome, Oslo?"}, assistant_message("", first), tool_message("sky/now", "clear"),
        tool_message("sky/now", "rain"),
        {"role": "assistant", "content": "Clear, rain."}, {"role": "user", "content": "In Lima?"}, assistant_message("", [IN_LIMA]),
        tool_message("sky/now", "fog"), {"role": "user", "content": "In a word?"})
    return ToolSample("r-1:9", messages, read_toolace(good_rows()[0], "r-1")[0].tools, (), "Fog.")


def sample_for(chat: Chat, call_format: str) -> ToolSample:
    """With two calls at once, where the chat template writes such; else with one that is answered twice."""
    takes_two = call_format == "brackets" or "single tool-calls" not in chat.tokenizer.chat_template
    return long_sample(*(IN_ROME, IN_OSLO)[:1 + takes_two])


def template_ids(sample: ToolSample, chat: Chat, call_format: str) -> list[int]:
    """The whole conversation, gold answer included, as the chat template writes it."""
    if call_format == "tags":
        messages, tools = [*sample.messages, gold_message(sample)], [{"type": "function", "function": tool} for tool in sample.tools]
    else:
        row, tools = to_brackets(sample), None
        messages = [{"role": "system", "content": row["system"]},
                    *({"role": turn["from"], "content": turn["value"]} for turn in row["conversations"])]
    whole = chat.tokenizer.apply_chat_template(messages, tools=tools, tokenize=False).rstrip("\n")
    return chat.tokenizer.encode(whole, add_special_tokens=False)


@pytest.mark.parametrize("call_format", ["tags", "brackets"])
def test_several_results_and_later_questions_are_turns_with_the_templates_tokens(chat: Chat, call_format: str):
    sample = sample_for(chat, call_format)
    turn = turn_of(sample, chat, call_format)
    assert [*chat.state_ids(turn.state), *chat.step_ids(turn.step)] == template_ids(sample, chat, call_format)
    results = (Said("tool", "clear", "sky/now"), Said("tool", "rain", "sky/now"))
    listed = Observation(json.dumps([{"name": "sky/now", "results": text} for text in ("clear", "rain")]), 0)   # ToolACE's text of both
    fog = Said("tool", "fog", "sky/now") if call_format == "tags" else Said("tool", '[{"name": "sky/now", "results": "fog"}]')
    assert turn.state.query == "Sky in Rome, Oslo?" and turn.step_index == 3
    assert [answer for _, answer in turn.state.turns] == [
        results if call_format == "tags" else listed, (Said("user", "In Lima?"),), (fog, Said("user", "In a word?"))]


def test_the_lab_base_has_several_results_and_later_questions_as_its_template_writes_them():
    chat = Chat(load_model("assets/base")[1])
    sample = sample_for(chat, "tags")
    turn = turn_of(sample, chat, "tags")
    assert [*chat.state_ids(turn.state), *chat.step_ids(turn.step)] == template_ids(sample, chat, "tags")


class RightAndWrong:
    """The gold message, and a call in its place, each as one piece."""

    def __init__(self, *texts: str, chat: Chat) -> None:
        self.steps = [Step(text, token_ids=tuple(chat.step_ids(Step(text))), logp=-1.0) for text in texts]

    async def sample(self, states: Sequence[State], n: int, *, seeds: Sequence[int]) -> list[list[Step]]:
        return [self.steps[:n] for _ in states]


@pytest.mark.parametrize("call_format", ["tags", "brackets"])
def test_a_long_conversation_comes_through_search_tree_pairs_and_files_with_the_templates_tokens(
        chat: Chat, call_format: str, tmp_path: Path):
    sample, path = sample_for(chat, call_format), tmp_path / "trees.jsonl"
    buffer = answer_buffer([sample], chat, call_format)
    policy = RightAndWrong("Fog.", '[sky/now(city="Lima")]', chat=chat)
    judging = Judging(chat.tokenizer.decode, chat.tokenizer.eos_token_id, exact_outcome, self_weight=0.0)
    for trees in [search_answers(buffer.asked, policy, Rules(2, 2, 2), judging, level="sentence", seed=0, journal_path=path).results,
                  list(TreeJournal(path).pieces.values())]:
        write_pairs(tmp_path / "pairs.parquet", value_pairs(trees, PairRules(), Counter()))
        [pair] = read_pairs(tmp_path / "pairs.parquet")
        row = pair_row(pair, chat)
        assert [*row.prompt, *row.chosen] == template_ids(sample, chat, call_format) == list(buffer.held[0].gold.ids)
        assert pair.state.turns == buffer.asked[0].item.state.turns


def test_the_loss_is_on_the_gold_message_alone(chat: Chat):
    *_, last = read_toolace(good_rows()[3], "r-1")
    [learnt] = sft_rows([turn_of(last, chat, "brackets")], chat)
    text = chat.tokenizer.decode([token for token, is_learnt in zip(learnt.ids, learnt.trained, strict=True) if is_learnt])
    assert text == '[sky/now(city="Rome")]' + chat.tokenizer.eos_token and learnt.num_steps == 1


def test_several_calls_in_tags_are_what_the_template_writes_or_are_refused(chat: Chat):
    [sample] = read_toolace(good_rows()[1], "r-1")
    if "single tool-calls" in chat.tokenizer.chat_template:
        with pytest.raises(FieldError, match="refuses several calls in one message .* Set call_format to brackets"):
            turn_of(sample, chat, "tags")
        return
    turn = turn_of(sample, chat, "tags")
    messages = [*sample.messages, assistant_message("", sample.gold_calls)]
    whole = chat.tokenizer.apply_chat_template(messages, tools=[{"type": "function", "function": t} for t in sample.tools], tokenize=False)
    assert chat.tokenizer.decode([*chat.state_ids(turn.state), *chat.step_ids(turn.step)]) == whole.rstrip("\n")


def test_the_lab_base_writes_several_calls_one_behind_another():
    chat = Chat(load_model("assets/base")[1])
    [sample] = read_toolace(good_rows()[1], "r-1")
    turn = turn_of(sample, chat, "tags")
    assert chat.tokenizer.decode(chat.step_ids(turn.step)) == (
        '<tool_call>{"name":"sky/now","arguments":{"city":"Rome"}}</tool_call><tool_call>{"name":"sky/now","arguments":{"city":"Oslo"}}'
        "</tool_call><|end|>")


def test_a_date_from_the_clock_is_replaced_by_a_fixed_one():
    tokenizer = new_tokenizer("Llama-3.2-3B-Instruct")
    ask = [{"role": "user", "content": "q"}]
    assert DATE not in tokenizer.apply_chat_template(ask, tokenize=False)
    assert DATE in with_fixed_date(with_fixed_date(tokenizer)).apply_chat_template(ask, tokenize=False)
    tokenizer.chat_template = "{{ strftime_now('%Y') }}"
    with pytest.raises(ValueError, match="writes today's date, and takes no `date_string`"):
        with_fixed_date(tokenizer)


# --- books kept ---

def sft_params(path: Path, **values: Any) -> CurriculumSftParams:
    given = {"data_path": str(path), "data_format": "toolace", "call_format": "brackets", "mask_share": 0.0, "max_length": 512}
    return freeze("02_curriculum_sft", given | {"num_trees": 0} | values)


@pytest.fixture
def llama() -> Chat:
    return Chat(new_tokenizer("Llama-3.1-8B-Instruct"))


def test_what_cannot_be_learnt_from_is_set_aside_with_file_row_field_and_reason(llama: Chat, tmp_path: Path):
    path = tmp_path / "rows.json"
    path.write_text(json.dumps([*good_rows()[:8], *BAD.values()]))
    turns = warm_up.read_turns(sft_params(path), llama)
    assert [(entry.source, entry.row, entry.field) for entry in turns.report.set_aside] == [
        (str(path), number, field) for number, field in enumerate(BAD, start=9)]
    assert len(turns.samples) == 10 and all(entry.reason for entry in turns.report.set_aside)
    buffer, set_aside = warm_up.write_products(tmp_path, turns)
    assert [json.loads(line)["row"] for line in set_aside.read_text().splitlines()] == list(range(9, 15))
    assert {sample.sample_id for sample in read_samples(buffer)} == turns.held_back


def test_whole_conversations_are_held_back_and_counted_off(llama: Chat, tmp_path: Path):
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(good_rows()))
    for seed in range(4):
        turns = warm_up.read_turns(sft_params(path, seed=seed), llama)
        back = {sample_id.rpartition(":")[0] for sample_id in turns.held_back}
        assert len(back) == 3                                                             # a tenth of 32
        assert turns.held_back == {sample_id for sample_id in turns.samples if sample_id.rpartition(":")[0] in back}
        few = warm_up.read_turns(sft_params(path, seed=seed, num_trees=10), llama)
        assert len({sample_id.rpartition(":")[0] for sample_id in few.samples}) == 10


def test_samples_of_our_hub_are_made_where_they_are_read(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(warm_up, "HUB_SAMPLES", 60)
    given, chat = {"data_path": "hub", "mask_share": 0.0, "num_trees": 0}, Chat(load_model("assets/base")[1])
    turns = warm_up.read_turns(freeze("02_curriculum_sft", given), chat)
    assert Counter(sample.meta["kind"] for sample in turns.samples.values()) == dict.fromkeys(KINDS, 12)
    assert len(turns.held_back) == 6 and not turns.report.set_aside
    again, other = (warm_up.read_turns(freeze("02_curriculum_sft", given | {"seed": seed}), chat) for seed in (0, 1))
    assert list(again.samples.values()) == list(turns.samples.values()) and list(other.samples.values()) != list(turns.samples.values())


def test_our_own_files_of_samples_are_read_as_well(llama: Chat, tmp_path: Path):
    samples = [sample for number, entry in enumerate(good_rows()) for sample in read_toolace(entry, f"r-{number}")]
    write_samples(tmp_path / "s.parquet", samples)
    turns = warm_up.read_turns(sft_params(tmp_path / "s.parquet", data_format="samples"), llama)
    assert list(turns.samples.values()) == samples


@pytest.mark.parametrize(("values", "message"), [
    ({"mask_share": 0.5}, "mask_share 0.5: names are masked in success paths of trees alone. Set it to 0"),
    ({"data_format": "xlam"}, r"4 rows or turns set aside, 0 left. Is it 'xlam' data \(data_format\)\?\n4 x query: first row 1, query: "),
    ({"data_path": "data/nowhere.json"}, "data_path: no file .*data/nowhere.json; expected one, a data set's name"),
])
def test_parameters_that_do_not_fit_the_data_are_told(llama: Chat, tmp_path: Path, values: dict[str, Any], message: str):
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(good_rows()[:4]))
    with pytest.raises(ValueError, match=message):
        warm_up.read_turns(sft_params(path, **values), llama)


# --- the end of a search ---

@pytest.mark.parametrize(("text", "calls"), [
    ('[sky/now(city="Rome"), Market Trends API(kind="a", country="b")]',
     [("sky/now", {"city": "Rome"}), ("Market Trends API", {"kind": "a", "country": "b"})]),
    ('<tool_call>{"name":"f","arguments":{"x":1}}</tool_call>', [("f", {"x": 1})]),
    ("No tool fits.", []), ("[]", []), ("", []),
    ("[sky/now(city=", None), ("[sky/now(city=open('x'))]", None), ('Here: [sky/now(city="Rome")]', None), ("[", None),
])
def test_the_calls_of_an_answer_are_read_in_either_spelling(text: str, calls: list | None):
    tools = read_toolace(good_rows()[1], "r-1")[0].tools
    assert written_calls(text, tools) == calls


def test_a_held_back_sample_shows_its_gold_answer_as_it_would_be_written(llama: Chat):
    [sample] = read_toolace(good_rows()[1], "r-1")
    buffer = answer_buffer([sample], llama, "brackets")
    [held], [asked] = buffer.held, buffer.asked
    assert held.stratum and held.question == "Sky in Rome, Oslo?"
    assert asked.item.gold_text == '[sky/now(city="Rome"), sky/now(city="Oslo")]'
    assert written_calls(asked.item.gold_text, asked.tools) == list(asked.item.gold_calls)
