"""Training: losses by hand and beside TRL's, packed pairs, rows of whole paths, order, resuming, adapters."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from torch import Tensor

from lib.chat import Chat
from lib.policy.load import adapted, load_model, merged
from lib.search.state import Code, Observation, State, Step
from lib.train.curriculum import difficulty, stages
from lib.train.loop import Schedule, learnt_scores, pair_length, reference_logps, train_preferences, train_sft
from lib.train.losses import LossName, preference_loss, sigmoid_loss
from lib.train.measure import largest_difference, margin_accuracy, ranked_right, sft_measures, step_lengths
from lib.train.muon import orthogonalise
from lib.train.precision import mixed_precision
from lib.train.pretrain import new_model
from lib.train.rows import PairRow, SftRow, chosen_row, pair_row, sft_rows
from lib.train.shared_prompt import pair_logps
from lib.train.split import held_out_trees
from lib.trees.pairs import PreferencePair
from lib.trees.sft import SftSample
from lib.worlds.tokenizer import train_tokenizer

VOCAB = 300
PARAMETERS = {"type": "object", "properties": {"x": {"type": "string"}}, "required": ["x"]}
FUNCTION = {"name": "f", "description": "Gives y.", "parameters": PARAMETERS}
STEPS = (Step("Look.", "f", '{"x":"a"}'), Step("", "f", '{"x":"b"}'), Step("Done.", "Finish", '{"return_type":"give_answer"}'))


def tiny(seed: int = 0, vocab: int = VOCAB) -> Any:
    """A random Qwen3 of two layers, in double precision where a test compares gradients."""
    torch.manual_seed(seed)
    return new_model(vocab, hidden=16, layers=2, heads=2, head_dim=8, feed_forward=32).eval()


def random_pairs(count: int, seed: int = 0) -> list[PairRow]:
    generator = torch.Generator().manual_seed(seed)

    def ids(low: int, high: int) -> tuple[int, ...]:
        length = int(torch.randint(low, high, (1,), generator=generator))
        return tuple(torch.randint(3, VOCAB, (length,), generator=generator).tolist())

    return [PairRow(ids(3, 12), ids(1, 7), ids(1, 7), f"tree{index}") for index in range(count)]


def random_rows(count: int, seed: int = 0) -> list[SftRow]:
    return [chosen_row(row) for row in random_pairs(count, seed)]


def two_row_logps(model: Any, row: PairRow) -> list[Tensor]:
    """The textbook way: prompt and step as a row of their own, log-probability summed over the step."""
    sums = []
    for step in (row.chosen, row.rejected):
        ids = torch.tensor([row.prompt + step])
        logps = model(input_ids=ids, use_cache=False).logits[0, :-1].log_softmax(-1)
        sums.append(logps.gather(1, ids[0, 1:, None])[len(row.prompt) - 1:].sum())
    return sums


def gradients(model: Any) -> dict[str, Tensor]:
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def assert_same_gradients(first: dict[str, Tensor], second: dict[str, Tensor], *, tolerance: float) -> None:
    assert first.keys() == second.keys() and first
    for name in first:
        assert torch.allclose(first[name], second[name], atol=tolerance), name


@pytest.fixture(scope="module")
def chat() -> Chat:
    return Chat(train_tokenizer(vocab_size=320, num_rows=10))


# --- losses ---

@pytest.mark.parametrize("name", ["sigmoid", "hinge", "ipo"])
def test_losses_on_packed_pairs_and_their_gradients_are_those_of_trl(name: str, tmp_path: Path):
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    class PreTokenised(DPOTrainer):
        """TRL's trainer on token ids as they are."""

        def _prepare_dataset(self, dataset: Dataset, *args: object) -> Dataset:
            return dataset

    policy, reference, rows, beta = tiny(0), tiny(1), random_pairs(4), 0.3
    later_state = rows[0].prompt + rows[0].chosen + (8, 9)
    rows = [*rows, replace(rows[0], rejected=(5, 6, 7)), replace(rows[1], prompt=later_state)]     # a sibling, and a step further on
    names = ("prompt", "chosen", "rejected")
    data = Dataset.from_list([{f"{side}_ids": list(getattr(row, side)) for side in names} for row in rows])
    config = DPOConfig(output_dir=str(tmp_path), beta=beta, loss_type=[name], report_to=[], use_cpu=True, bf16=False,
                       max_length=None, per_device_train_batch_size=len(rows), gradient_checkpointing=False)
    trainer = PreTokenised(policy, ref_model=reference, args=config, train_dataset=data,
                           processing_class=train_tokenizer(vocab_size=VOCAB, num_rows=2))
    theirs = trainer.compute_loss(policy, trainer.data_collator(list(data)))
    theirs.backward()
    expected = gradients(policy)
    policy.zero_grad()

    before = torch.tensor(reference_logps(reference, rows, batch_size=4))
    chosen, rejected = pair_logps(policy, rows)
    lengths = torch.tensor([[float(len(row.chosen)), float(len(row.rejected))] for row in rows]).unbind(1)
    ratios = chosen - before[:, 0], rejected - before[:, 1]
    ours = preference_loss(name, (chosen, rejected), ratios, lengths, beta=beta).mean()
    ours.backward()
    assert ours.item() == pytest.approx(theirs.item(), abs=1e-4)
    assert_same_gradients(gradients(policy), expected, tolerance=1e-4)


# --- packed pairs ---

def test_packed_pairs_have_the_log_probabilities_and_gradients_of_plain_rows():
    model, rows = tiny().double(), random_pairs(3)
    sigmoid_loss(*pair_logps(model, rows), beta=0.1).sum().backward()
    packed = gradients(model)
    model.zero_grad()
    plain = [two_row_logps(model, row) for row in rows]
    sum(sigmoid_loss(chosen, rejected, beta=0.1) for chosen, rejected in plain).backward()
    assert_same_gradients(packed, gradients(model), tolerance=1e-5)
    found = torch.stack(pair_logps(model, rows), dim=1)
    assert torch.allclose(found, torch.stack([torch.stack(pair) for pair in plain]).to(found.dtype), atol=1e-5)


def test_what_stands_in_the_rejected_step_does_not_change_the_chosen_ones_log_probability():
    model, [row] = tiny(), random_pairs(1)
    other = replace(row, rejected=(7,) * 9)
    assert pair_logps(model, [row])[0].item() == pytest.approx(pair_logps(model, [other])[0].item(), abs=1e-5)


def test_the_reference_comes_back_in_the_rows_order_whatever_the_batches():
    model, rows = tiny(), random_pairs(7)
    whole, single = (torch.tensor(reference_logps(model, rows, batch_size=size)) for size in (7, 1))
    assert torch.allclose(whole, single, atol=1e-5)


def test_training_moves_the_policy_and_leaves_the_reference_as_it_was():
    policy, rows = tiny(), random_pairs(6)
    references = reference_logps(policy, rows, batch_size=3)
    kept = list(references)
    curve = train_preferences(policy, rows, references, Schedule(8, 3, 1e-2), beta=0.5, seed=0)
    assert references == kept
    assert curve[0]["loss"] == pytest.approx(math.log(2), abs=1e-4) and curve[0]["accuracy"] == 0.5
    after = reference_logps(policy, rows, batch_size=3)
    assert margin_accuracy(after, references) == 1.0 and curve[-1]["loss"] < 0.3


def test_the_reference_is_taken_once_for_the_same_pairs_and_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    model, rows, kept = tiny(), random_pairs(5), tmp_path / "references.json"
    taken = reference_logps(model, rows, batch_size=2, kept=kept)
    read = []
    monkeypatch.setattr("lib.train.loop.pair_logps", lambda model, rows: read.append(len(rows)) or pair_logps(model, rows))
    assert reference_logps(model, rows, batch_size=2, kept=kept) == taken and not read
    others = reference_logps(model, rows[:4], batch_size=2, kept=kept)
    assert read == [2, 2] and torch.allclose(torch.tensor(others), torch.tensor(taken[:4]), atol=1e-5)
    with torch.no_grad():
        next(model.parameters()).mul_(1.5)
    assert reference_logps(model, rows[:4], batch_size=2, kept=kept) != others and read == [2, 2, 2, 2]


@pytest.mark.parametrize("name", get_args(LossName))
def test_every_loss_trains_on_packed_pairs(name: LossName):
    policy, rows = tiny(), random_pairs(6)
    references = reference_logps(policy, rows, batch_size=3)
    curve = train_preferences(policy, rows, references, Schedule(8, 3, 1e-2), beta=0.5, loss=name, gamma=0.5, seed=0)
    assert curve[-1]["loss"] < curve[0]["loss"] and curve[-1]["accuracy"] == 1.0


# --- rows ---

def path_samples() -> list[SftSample]:
    state = State("What is y of a?", (FUNCTION,))
    samples = []
    for index, step in enumerate(STEPS):
        samples.append(SftSample(state, step, "tree", "query", "train", index, Code.OK))
        state = state.after(step, Observation('{"error":"","response":1}', Code.OK))
    return samples


def test_one_row_for_a_path_has_the_loss_and_gradients_of_one_row_a_step(chat: Chat):
    model, samples = tiny(vocab=len(chat.tokenizer)).double(), path_samples()
    [nested] = sft_rows(samples, chat)
    single = [row for sample in samples for row in sft_rows([sample], chat)]
    assert (nested.num_steps, len(single)) == (3, 3) and step_lengths(nested) == [len(chat.step_ids(step)) for step in STEPS]
    losses, found = [], []
    for rows in ([nested], single):
        model.zero_grad()
        total = sum(torch.nn.functional.cross_entropy(*learnt_scores(model, [row]), reduction="sum") for row in rows)
        total.backward()
        losses.append(total.item())
        found.append(gradients(model))
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    assert_same_gradients(*found, tolerance=1e-4)


def test_a_step_that_the_history_shows_by_another_name_begins_a_new_row(chat: Chat):
    first, second, third = path_samples()
    hidden = replace(second.state, turns=((Step("Look.", "invalid", '{"x":"a"}'), second.state.turns[0][1]),))
    rows = sft_rows([first, replace(second, state=hidden)], chat)
    assert [row.num_steps for row in rows] == [1, 1]


def test_a_step_with_a_skipped_code_stands_in_the_row_and_is_not_learnt(chat: Chat):
    first, second, third = path_samples()
    failed = replace(second, code=Code.MESSAGE_ERROR)
    [row] = sft_rows([first, failed, third], chat, skip={Code.MESSAGE_ERROR})
    [whole] = sft_rows([first, second, third], chat)
    assert (row.ids, row.num_steps) == (whole.ids, 2)
    assert step_lengths(row) == [len(chat.step_ids(step)) for step in (STEPS[0], STEPS[2])]
    assert sft_rows([failed], chat, skip={Code.MESSAGE_ERROR}) == []


def test_the_chosen_side_alone_is_learnt_after_its_prompt():
    row = PairRow((1, 2, 3), (4, 5), (6,), "t")
    assert chosen_row(row) == SftRow((1, 2, 3, 4, 5), (False, False, False, True, True), "t", 1)
    assert pair_length(row) == 6


def test_a_target_of_actions_leaves_both_thoughts_out(chat: Chat):
    pair = PreferencePair(State("q", (FUNCTION,)), STEPS[0], Step("Other.", "f", '{"x":"b"}'), 0, "tree", "query")
    row = pair_row(pair, chat, target="action_only")
    assert [chat.tokenizer.decode(list(side)) for side in (row.chosen, row.rejected)] == [
        '<tool_call>{"name":"f","arguments":{"x":"a"}}</tool_call><|end|>',
        '<tool_call>{"name":"f","arguments":{"x":"b"}}</tool_call><|end|>']


# --- order ---

def test_all_orders_train_on_the_same_samples():
    items, scores = list(range(10)), [index % 4 for index in range(10)]
    for order in ("mixed", "easy_to_hard", "hard_to_easy"):
        parts = stages(items, scores, order, seed=1)
        assert [len(part) for part in parts] == [4, 3, 3] and sorted(sum(parts, [])) == items


def test_easy_to_hard_never_goes_back_to_an_easier_stage_and_hard_to_easy_is_its_mirror():
    scores = [5, 1, 4, 2, 3, 0]
    easy, medium, hard = stages(scores, scores, "easy_to_hard", seed=0)
    assert (set(easy), set(medium), set(hard)) == ({0, 1}, {2, 3}, {4, 5})
    assert [set(part) for part in stages(scores, scores, "hard_to_easy", seed=0)] == [{4, 5}, {2, 3}, {0, 1}]


def test_difficulty_is_the_mean_of_percentile_ranks():
    # ranks from 0: first criterion 0.5, 0.5, 2; second 0, 1, 2; each by 2, then their mean
    assert difficulty([(1, 10), (1, 20), (9, 30)]).tolist() == [0.125, 0.375, 1.0]


def test_whole_trees_are_held_out_the_same_for_the_same_seed():
    ids = [f"t{index}" for index in range(200)]
    paired = ids[:80]
    held_out = held_out_trees(ids * 2, paired, seed=3)
    assert (len(held_out & set(paired)), len(held_out)) == (4, 10)       # a twentieth of 80, and of 120
    assert held_out == held_out_trees(reversed(ids), paired, seed=3) != held_out_trees(ids, paired, seed=4)
    with pytest.raises(ValueError, match="4 trees, all of them held out"):
        held_out_trees(["a", "b", "c", "d"], ["c", "d"], seed=0)


# --- the loop ---

@pytest.mark.parametrize("broken_at", [1, 2])
def test_a_training_that_was_killed_and_resumed_ends_in_the_weights_of_one_that_was_not(tmp_path: Path, broken_at: int):
    parts, schedule, path = [random_rows(120, 0), random_rows(120, 1)], Schedule(1, 1, 1e-3), tmp_path / "sft.pt"

    def killed(model: Any) -> dict[str, float]:
        calls.append(1)
        if len(calls) == broken_at:
            raise KeyboardInterrupt
        return {"heldout_loss": 1.0}

    calls: list[int] = []
    whole, half = tiny(), tiny()
    curve = train_sft(whole, parts, schedule, seed=0, after_stage=lambda model: {"heldout_loss": 1.0})
    with pytest.raises(KeyboardInterrupt):
        train_sft(half, parts, schedule, seed=0, checkpoint=path, after_stage=killed)
    resumed = tiny(seed=5)      # a fresh process has other weights in memory; all must come from the checkpoint
    again = train_sft(resumed, parts, schedule, seed=0, checkpoint=path, after_stage=lambda model: {"heldout_loss": 1.0})
    for (name, expected), found in zip(whole.named_parameters(), resumed.parameters(), strict=True):
        assert torch.equal(expected, found), name
    assert [record["loss"] for record in again] == [record["loss"] for record in curve]
    assert [step for step, record in enumerate(again) if "heldout_loss" in record] == [119, 239]
    assert again[-1]["tokens"] == sum(sum(row.trained) for part in parts for row in part)


def test_a_checkpoint_of_other_data_is_not_gone_on_from(tmp_path: Path):
    path = tmp_path / "sft.pt"
    train_sft(tiny(), [random_rows(4, 0)], Schedule(1, 2, 1e-2), seed=0, checkpoint=path)
    model, fresh = tiny(), tiny()
    train_sft(model, [random_rows(4, 1)], Schedule(1, 2, 1e-2), seed=0, checkpoint=path)
    train_sft(fresh, [random_rows(4, 1)], Schedule(1, 2, 1e-2), seed=0)
    assert largest_difference(model, fresh, random_rows(1)[0]) == 0.0


def test_a_finished_training_is_not_done_again(tmp_path: Path):
    rows, path = random_rows(4), tmp_path / "sft.pt"
    first, second = tiny(), tiny(seed=9)
    curve = train_sft(first, [rows], Schedule(2, 2, 1e-2), seed=0, checkpoint=path)
    assert train_sft(second, [rows], Schedule(2, 2, 1e-2), seed=0, checkpoint=path) == curve
    assert largest_difference(first, second, rows[0]) == 0.0


def test_a_model_that_knows_its_rows_by_heart_has_every_step_right_and_no_loss():
    rows = [SftRow((3, 4, 5, 6), (False, False, True, True), "t", 1), SftRow((9, 8, 7), (False, True, True), "u", 1)]
    model = tiny()
    before = sft_measures(model, rows)
    train_sft(model, [rows], Schedule(80, 2, 2e-2), seed=0)
    after = sft_measures(model, rows)
    assert before["heldout_loss"] > 4 and before["heldout_step_accuracy"] == 0.0     # chance: ln 300 = 5.7
    assert after["heldout_loss"] < 0.1 and after["heldout_step_accuracy"] == 1.0


def test_ties_count_half_in_the_ranking():
    assert ranked_right([(-1.0, -2.0), (-3.0, -3.0), (-5.0, -4.0), (-1.0, -9.0)]) == 2.5 / 4


def test_orthogonalised_matrices_have_singular_values_near_one():
    generator = torch.Generator().manual_seed(0)
    for shape in ((2, 16, 16), (1, 32, 8), (1, 8, 32)):
        values = torch.linalg.svdvals(orthogonalise(torch.randn(shape, generator=generator)))
        assert 0.3 < values.min() and values.max() < 1.3    # the quintic ends between 0.7 and 1.2; small ones lag


# --- models ---

def test_fresh_adapters_change_nothing_and_merged_ones_what_training_changed():
    model, rows = tiny(), random_rows(6)
    policy = adapted(tiny(), lora_rank=4)
    assert largest_difference(model, policy, rows[0]) == 0.0
    train_sft(policy, [rows], Schedule(4, 3, 1e-2), seed=0)
    trained = {name for name, p in policy.named_parameters() if p.requires_grad}
    assert trained and all("lora" in name for name in trained)
    ids = torch.tensor([rows[0].ids])
    before = policy(input_ids=ids).logits
    plain = merged(policy)
    assert not type(plain).__module__.startswith("peft")
    assert not any("lora" in name for name, _ in plain.named_parameters())
    assert torch.allclose(before, plain(input_ids=ids).logits, atol=1e-5)
    assert largest_difference(model, plain, rows[0]) > 1e-3


def test_embeddings_stay_as_they_are_unless_they_are_trained_too():
    for wanted in (False, True):
        policy, rows = adapted(tiny(), lora_rank=0, train_embeddings=wanted), random_rows(6)
        before = {name: p.detach().clone() for name, p in policy.named_parameters()}
        train_sft(policy, [rows], Schedule(2, 3, 1e-2), seed=0)
        still = {name for name, p in policy.named_parameters() if torch.equal(p, before[name])}
        assert still == (set() if wanted else {"model.embed_tokens.weight"})   # tied: the output layer is the same tensor


def test_preference_training_takes_adapters_too():
    policy, rows = adapted(tiny(), lora_rank=4), random_pairs(6)
    references = reference_logps(policy, rows, batch_size=3)
    train_preferences(policy, rows, references, Schedule(8, 3, 3e-2), beta=0.5, seed=0)
    assert margin_accuracy(reference_logps(merged(policy), rows, batch_size=3), references) == 1.0


def test_a_folder_is_loaded_as_it_was_saved(tmp_path: Path, chat: Chat):
    model = tiny(vocab=len(chat.tokenizer))
    model.save_pretrained(tmp_path)
    chat.tokenizer.save_pretrained(tmp_path)
    loaded, tokenizer = load_model(tmp_path)
    assert largest_difference(model, loaded, SftRow((4, 5, 6), (False, True, True), "t", 1)) == 0.0
    assert Chat(tokenizer).step_ids(STEPS[0]) == chat.step_ids(STEPS[0])
    assert tokenizer.chat_template == chat.tokenizer.chat_template


@pytest.mark.parametrize("name", ["assets/no_such_model", "./no_such_model", "/no/such/model"])
def test_a_missing_folder_is_told_by_its_parameter(name: str):
    with pytest.raises(ValueError, match="base_model: no folder .*no.such.model"):
        load_model(name)


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what happens without a GPU")
def test_unsloth_without_a_gpu_is_refused_with_the_way_out(tmp_path: Path):
    with pytest.raises(ValueError, match="needs a GPU and requirements-gpu.txt"):
        load_model(tmp_path, backend="unsloth")


# --- precision ---

@pytest.mark.parametrize(("wanted", "has_units", "dtype"), [
    (True, True, torch.bfloat16), (True, False, torch.float32), (False, True, torch.float32),
])
def test_matrices_are_multiplied_in_bfloat16_where_it_is_wanted_and_the_cpu_has_units(
    wanted: bool, has_units: bool, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": has_units})
    with mixed_precision(wanted=wanted):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype


def test_training_in_bfloat16_learns_as_in_float32(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    rows, schedule = random_rows(6), Schedule(20, 3, 2e-2)
    plain, mixed = (train_sft(tiny(), [rows], schedule, seed=0, half=half) for half in (False, True))
    assert plain != mixed and mixed[-1]["loss"] < 0.7 * mixed[0]["loss"]
    assert mixed[-1]["loss"] == pytest.approx(plain[-1]["loss"], rel=0.1)
