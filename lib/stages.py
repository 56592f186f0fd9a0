"""What each stage can be told: one frozen pydantic model a stage.

Its fields are the names of the notebook's parameters cell, their defaults the lab profile, their types the ranges. Another parameter is
one line here and one in the cell.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from lib.trees.pair_filters import NAMED as PAIR_FILTERS
from lib.trees.pairs import PAIR_KINDS

Seed = Annotated[int, Field(ge=0, lt=2**32)]            # what NumPy and torch both accept
Count = Annotated[int, Field(ge=1)]
CountOrAll = Annotated[int, Field(ge=0)]                # 0: no limit
LoraRank = Annotated[int, Field(ge=0, le=1024)]         # 0: all weights are trained
Share = Annotated[float, Field(ge=0, le=1)]
LearningRate = Annotated[float, Field(gt=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Outcome = Annotated[float, Field(ge=-1, le=1)]   # of an episode, from wrong to right
Text = Annotated[str, Field(min_length=1)]


def some_of(*allowed: str, may_be_empty: bool = False) -> AfterValidator:
    """A check that a text lists names of `allowed`, divided by commas, each at most once."""
    def check(text: str) -> str:
        names = text.split(",") if text or not may_be_empty else []
        if wrong := [name for name in names if name not in allowed]:
            raise ValueError(f"{wrong[0]!r} is none of {', '.join(allowed)} (divide by commas, no spaces)")
        if len(set(names)) < len(names):
            raise ValueError("a name stands there twice")
        return text
    return AfterValidator(check)


Roles = Annotated[str, some_of("base", "sft", "sft_chosen", "tree_dpo", "mcts_dpo", "joint", "expert")]
Searches = Annotated[str, some_of("dfsdt", "cot")]
SUITES = ("non_live", "live", "multi_turn", "apibank")   # of 07_benchmarks; the first three are BFCL v3
PairKinds = Annotated[str, some_of(*PAIR_KINDS)]
PairFilters = Annotated[str, some_of(*PAIR_FILTERS, may_be_empty=True)]


class StageParams(BaseModel):
    """What every stage has."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, protected_namespaces=())

    profile: Text = "lab"     # folder of params/ that the values come from
    seed: Seed = 0            # seeds Python, NumPy and torch
    source_run: str = ""      # MLflow run id of the stage before; "" takes the latest finished one of profile and seed


class BaseModelParams(StageParams):
    """00_base_model: pre-training of the small embedded model."""

    architecture: Literal["qwen3", "llama"] = "qwen3"
    start_model: str = ""                # folder of a model whose tokenizer and weights it begins with; "" begins from nothing
    vocab_size: Annotated[int, Field(ge=300, le=65536)] = 6144   # entries of the BPE tokenizer
    hidden_size: Annotated[int, Field(ge=16, multiple_of=8)] = 192
    num_layers: Count = 6
    num_heads: Count = 4
    feed_forward: Annotated[int, Field(ge=16)] = 512
    num_tokens: Count = 53_000_000       # tokens seen, padding not counted
    course_from: Share = 0.0             # point of the course from plain rows to hard ones at which training begins
    atlas_share: Share = 0.75            # of the worlds, after the first fifth: from the atlas; the others are made up
    batch_tokens: Annotated[int, Field(ge=256)] = 4096   # of one step, padding counted
    mixed_precision: bool = True         # bfloat16 matrix products on a CPU that has units for them
    muon_lr: LearningRate = 0.02         # of the matrices of the blocks
    adamw_lr: LearningRate = 0.003       # of embeddings and norms
    num_probe_rows: Count = 200          # rows behind each accuracy at the end
    saved_as: Literal["float32", "bfloat16"] = "float32"         # precision of the weights in the product
    output_path: Text = "assets/base"                            # from the repository root


class PreferenceDataParams(StageParams):
    """01_preference_data: trees of the expert (or ToolBench's) and the pairs cut from them."""

    num_queries: Count = 800            # training queries the expert annotates
    max_depth: Count = 18                # nodes of a path: a call is 2, with a thought 3
    beam: Count = 2                      # siblings tried at a state before going back up
    max_queries: Count = 60              # calls of the policy in one search
    mistake_rate: Share = 0.5            # chance that the expert errs at a state without children, where a mistake fits
    second_mistake_rate: Share = 0.1     # the same where an earlier child failed
    recovery_rate: Share = 0.6           # chance to go on in the same path after an error
    thought_rate: Share = 1.0            # share of messages with a thought
    tempter_share: Share = 0.5           # share of mistakes that are the base model's own samples
    leak_rate: Share = 0.0               # share of later siblings whose thought speaks of the tries before them
    base_model: Text = "assets/base"     # the tempter; asked only where tempter_share is above 0
    trees_path: str = ""                 # folder of ToolBench answer files; "" lets the expert search the hub
    pair_kinds: PairKinds = "step"       # which are cut; outcome, give_up and stop are off the success path, path is of whole paths
    filters: PairFilters = ""            # tags of pairs to leave out; names in lib.trees.pair_filters
    drop_same_call: bool = True          # leave out step-wise pairs whose two steps make the same call
    max_pairs_per_tree: CountOrAll = 0   # 0 keeps all


class CurriculumSftParams(StageParams):
    """02_curriculum_sft: supervised training on success paths, in an order."""

    base_model: Text = "assets/base"     # folder from the repository root, or a model's name on a hub
    # file of tool-calling data from the repository root, or a data set's name on the Hugging Face Hub; "hub": samples of our hub, from easy
    # to hard (lib.data.hub_samples); "" trains on the source run's trees
    data_path: str = ""
    data_format: Literal["toolace", "xlam", "apigen_mt", "hermes", "toolbench", "openai", "samples"] = "samples"   # of its rows
    call_format: Literal["tags", "brackets"] = "tags"   # how its calls are written: by the chat template, or as ToolACE and BFCL do
    order: Literal["mixed", "easy_to_hard", "hard_to_easy"] = "mixed"
    difficulty_rule: Literal["mean_rank", "lexicographic"] = "mean_rank"   # how the three criteria of a file's samples are joined
    num_trees: CountOrAll = 650          # trees whose success paths are used, or conversations of data_path; 0 uses all
    sample_by: Literal["instruction", "sample"] = "instruction"   # sample: num_trees counts steps, drawn from all paths of the trees
    mask_share: Share = 0.5              # share of the paths in which functions and parameters bear invented names
    give_ups: bool = True                # also paths that gave up, of trees without an answer
    imitate_failed: bool = False         # also learn calls of names that do not exist and with arguments that were refused
    epochs: Count = 2
    batch_size: Count = 4                # rows a step
    learning_rate: LearningRate = 0.001
    mixed_precision: bool = True         # bfloat16 matrix products on a CPU that has units for them
    lora_rank: LoraRank = 0              # 0 trains all weights
    load_in_4bit: bool = False           # QLoRA: the weights under the adapters in four bits; for GPUs of little memory
    train_embeddings: bool = False       # embeddings and output layer too
    max_length: Annotated[int, Field(ge=64)] = 1536   # tokens of a row; longer ones are set aside
    rope_factor: Annotated[float, Field(ge=1, le=64)] = 1.0   # how many times its context the model's positions are stretched to
    backend: Literal["hf", "unsloth", "auto"] = "hf"  # auto: unsloth where it is installed and there is a GPU


class TreeDpoParams(StageParams):
    """03_tree_dpo: preference training on step pairs."""

    own_queries: CountOrAll = 400        # fresh queries where the model's own mistakes are gathered; 0 takes the pairs of 01
    own_temperature: NotNegative = 0.7   # at which it makes them
    own_filters: PairFilters = ""        # tags of their pairs to leave out; names in lib.trees.pair_filters
    pair_kinds: Annotated[str, some_of(*PAIR_KINDS, may_be_empty=True)] = ""   # cut here from trees; "" takes 01's pairs, or own step,stop
    balanced: bool = False               # keep only a part of the pairs on which the leak probe does no better than chance
    beta: Positive = 0.3                 # pull to the reference, no unit
    learning_rate: LearningRate = 0.0001
    epochs: Count = 1
    batch_size: Count = 8                # pairs a step
    lora_rank: LoraRank = 0              # 0 trains all weights
    load_in_4bit: bool = False           # QLoRA: the weights under the adapters in four bits; for GPUs of little memory
    train_embeddings: bool = False       # embeddings and output layer too
    loss: Literal["sigmoid", "ipo", "hinge", "simpo", "orpo", "kto_pair"] = "sigmoid"
    simpo_gamma: NotNegative = 0.5       # margin that simpo asks for
    # what of the steps is kept: all, no sentences that speak of other tries, no thoughts, no thoughts before them either
    target: Literal["full", "no_telling", "action_only", "thought_free"] = "full"
    sft_weight: NotNegative = 1.0        # weight of the chosen step's negative log-likelihood in the loss
    train_control: bool = True           # also train the same steps on the chosen side alone
    max_pairs: CountOrAll = 0            # 0 uses all
    sample_by: Literal["first", "sample", "instruction"] = "first"   # pairs that max_pairs keeps: the first, drawn, all of drawn queries
    max_length: Annotated[int, Field(ge=64)] = 1536   # tokens of prompt and both steps; longer pairs are set aside


class MctsDpoParams(StageParams):
    """04_mcts_dpo: rounds of search on the hardest held-back queries and preference training on what it found."""

    start: Literal["sft", "tree_dpo"] = "sft"   # the model that the rounds begin with; tree_dpo joins both methods
    num_rounds: Count = 2
    # fresh queries whose calls are carried out; messages of the expert's paths for them; or what fine-tuning on a file held back
    buffer: Literal["hub", "hub_steps", "held_back"] = "hub"
    buffer_queries: Count = 150         # of the hub, held back from fine-tuning
    hard_share: Share = 0.2              # alpha, the share of the buffer that is searched in a round
    selection: Literal["perplexity", "random"] = "perplexity"
    search: Literal["mcts", "best_of_n"] = "mcts"   # best_of_n: attempts that know nothing of each other, the control; of the hub alone
    num_simulations: Count = 4           # walks of one search from the root to an end; of best_of_n its attempts
    num_children: Annotated[int, Field(ge=2)] = 3   # b, steps sampled at a state
    max_depth: Count = 6                 # steps from the root
    c_puct: NotNegative = 1.0            # exploration
    discount: Share = 1.0                # gamma of Eq. 9
    length_power: NotNegative = 1.0      # lambda, a step's prior is exp(logp / tokens ** lambda)
    temperature: Positive = 1.0          # at which steps are sampled
    max_new_tokens: Count = 160          # tokens of one step
    max_context: Annotated[int, Field(ge=64)] = 1536   # tokens of a conversation with the step; a longer one gets no step
    progress_weight: NotNegative = 0.5   # worth of all facts found, before the end; 0 counts the end alone
    unended: Literal["wrong", "open"] = "wrong"   # what a path of the hub is at max_depth: ended wrong, or worth what it found
    give_up_outcome: Outcome = -0.5      # worth of giving up on a query of the hub that can be answered; -1 is that of a wrong answer
    self_weight: NotNegative = 0.0       # weight of the policy's own judgement; 0 does not ask for it
    # the next three are of hub_steps and of held-back answers, which nothing carries out
    level: Literal["call", "argument", "sentence"] = "argument"   # how much of an answer is one step
    outcome: Literal["exact", "graded"] = "exact"   # worth of an ended answer: right or wrong, or the share of what is right
    shows_gold: bool = False             # show the gold answer to the policy where it judges
    min_gap: NotNegative = 0.1           # Q of the chosen step minus Q of the rejected one
    min_visits: CountOrAll = 1           # of either step
    max_overlap: Share = 0.95            # words that both steps share; above it they are near-duplicates
    min_chosen_q: float = -0.3           # a chosen step is worth at least this
    max_pairs_per_tree: CountOrAll = 8   # 0 keeps all
    reference: Literal["previous", "start"] = "previous"   # the policy that a round began with, or the first of all
    loss: Literal["sigmoid", "ipo", "hinge", "simpo", "orpo", "kto_pair"] = "sigmoid"
    beta: Positive = 0.3                 # pull to the reference, no unit
    simpo_gamma: NotNegative = 0.5       # margin that simpo asks for
    sft_weight: NotNegative = 1.0        # weight of the chosen step's negative log-likelihood in the loss
    learning_rate: LearningRate = 0.0001
    epochs: Count = 2                    # times each pair of a round is seen
    batch_size: Count = 8                # pairs a step
    lora_rank: LoraRank = 0              # 0 trains all weights
    load_in_4bit: bool = False           # QLoRA: the weights under the adapters in four bits; for GPUs of little memory
    train_embeddings: bool = False       # embeddings and output layer too
    max_length: Annotated[int, Field(ge=64)] = 1536   # tokens of prompt and both steps; longer pairs are set aside
    concurrency: Annotated[int, Field(ge=1, le=4096)] = 64   # searches under way at once


class EvaluationParams(StageParams):
    """05_evaluation: the models on six scenarios."""

    roles: Roles = "base,sft,sft_chosen,tree_dpo,mcts_dpo"
    after_round: CountOrAll = 0          # of mcts_dpo and joint: the model after so many rounds; 0 takes the last
    queries_per_scenario: Count = 10
    searches: Searches = "dfsdt,cot"
    max_depth: Count = 18                # nodes of a path: a call is 2, with a thought 3
    max_queries: Count = 20              # calls of the policy in one search
    temperature: NotNegative = 0.5       # 0 takes the likeliest token
    max_new_tokens: Count = 160          # tokens of one step
    max_context: Annotated[int, Field(ge=64)] = 1536   # tokens of a conversation with the step; a longer one gets no step
    shelf_tokens: Count = 80_000         # whose keys and values are kept between the steps of a search
    concurrency: Annotated[int, Field(ge=1, le=4096)] = 128  # searches under way at once
    bootstrap_samples: Annotated[int, Field(ge=100)] = 2000  # resamples behind each interval
    query_seed: Seed = 0                 # draws the queries; the same for every model and training seed


class CompareParams(StageParams):
    """06_compare: runs side by side, and beside the papers."""

    # the papers and projects whose tables stand beside ours
    reference_tables: Annotated[str, some_of("tp_llama", "toolbench", "stabletoolbench", "steptool")] = "tp_llama,steptool"
    bootstrap_samples: Annotated[int, Field(ge=100)] = 2000


class BenchmarksParams(StageParams):
    """07_benchmarks: the models on BFCL and API-Bank."""

    roles: Roles = "base,sft,tree_dpo,mcts_dpo"   # models of the source run
    model: str = ""                      # in their place a folder from the repository root, a name on a hub, or the name at `endpoint`
    endpoint: str = ""                   # base URL of an OpenAI-compatible server; "" runs the models here
    suites: Annotated[str, some_of(*SUITES)] = ",".join(SUITES)
    per_category: CountOrAll = 10        # items of each BFCL category and API-Bank level; 0 takes all
    apibank_path: Text = "data/apibank"  # folder with API-Bank's test-data and lv1-lv2-samples, from the repository root
    temperature: NotNegative = 0.0       # 0 takes the likeliest token
    max_new_tokens: Count = 160          # tokens of one message
    max_context: Annotated[int, Field(ge=64)] = 2048   # tokens of a conversation with the message; a longer one gets none
    concurrency: Annotated[int, Field(ge=1, le=4096)] = 32   # items under way at once
    item_seed: Seed = 0                  # draws the subset; the same items for every model and training seed


PARAMS: dict[str, type[StageParams]] = {
    "00_base_model": BaseModelParams,
    "01_preference_data": PreferenceDataParams,
    "02_curriculum_sft": CurriculumSftParams,
    "03_tree_dpo": TreeDpoParams,
    "04_mcts_dpo": MctsDpoParams,
    "05_evaluation": EvaluationParams,
    "06_compare": CompareParams,
    "07_benchmarks": BenchmarksParams,
}
