"""Models by name or folder: the one place that knows of adapters and of unsloth.

unsloth changes transformers and TRL as it is imported, and does not import without a GPU: that happens here, and only where
asked for. Its kernels may not heed the mask of branches (`lib.train.shared_prompt`), so preference training does without.
"""

from __future__ import annotations

import copy
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from lib.policy import four_bits
from lib.policy.base_models import stretched_config, with_template
from lib.provenance import ROOT

Backend = Literal["auto", "hf", "unsloth"]   # auto: unsloth where it is installed and there is a GPU
LINEAR_LAYERS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def load_model(
    name_or_folder: str | Path, *, backend: Backend = "auto", lora_rank: int = 0, train_embeddings: bool = True, max_length: int = 1024,
    rope_factor: float = 1.0, load_in_4bit: bool = False, parameter: str = "base_model",
) -> tuple[Any, Any]:
    """(model, tokenizer), on the GPU where there is one; float32 on a CPU, else as saved.

    Args:
        name_or_folder: a folder (from the repository root) as transformers saves it, or a model's name on a hub.
        lora_rank: of adapters on all linear layers of the blocks, which alone are trained then; 0 trains all weights.
        train_embeddings: whether embeddings and output layer are among them (`adapted`).
        max_length: tokens that unsloth makes room for.
        rope_factor: how many times its context a model's positions are stretched to; 1 leaves them, and unsloth does so by itself.
        load_in_4bit: hold the weights under the adapters in four bits (`adapted`); not by unsloth.
        parameter: whose value `name_or_folder` is, for messages.
    Raises:
        ValueError: there is no such folder, or no such model.
    """
    source = _source(name_or_folder, parameter)
    if backend == "unsloth" and load_in_4bit:
        raise ValueError("load_in_4bit: our way back to whole weights does not know unsloth's layers. Set backend to hf.")
    if backend == "unsloth" or (backend == "auto" and not load_in_4bit and torch.cuda.is_available() and find_spec("unsloth")):
        model, tokenizer = _load_unsloth(source, lora_rank, max_length)
        return (model if train_embeddings else _with_fixed_embeddings(model)), tokenizer
    try:
        stretched = {"config": stretched_config(source, rope_factor)} if rope_factor > 1 else {}
        model = AutoModelForCausalLM.from_pretrained(source, dtype="auto" if torch.cuda.is_available() else torch.float32, **stretched)
        tokenizer = with_template(AutoTokenizer.from_pretrained(source))
    except OSError as error:
        raise ValueError(f"{parameter} {str(name_or_folder)!r} could not be loaded: {error}\n"
                         "Expected a folder with a transformers model and its tokenizer, or its name on a hub.") from error
    return adapted(model, lora_rank=lora_rank, train_embeddings=train_embeddings, load_in_4bit=load_in_4bit), tokenizer


def adapted(model: Any, *, lora_rank: int, train_embeddings: bool = True, load_in_4bit: bool = False) -> Any:
    """The model on the GPU, where there is one, with fresh LoRA adapters on all linear layers of its blocks.

    The adapters change nothing yet; rank 0 adds none. Their scale, alpha / rank, is 2.

    Args:
        train_embeddings: False leaves embeddings and output layer as they are, as adapters always do. Trained on a few hundred rows of a
            narrow domain, a small model whose two are tied unlearns to write every token that does not occur there.
        load_in_4bit: QLoRA, hold the weights under the adapters in four bits (`lib.policy.four_bits`).
    Source: Hu et al. 2021, arXiv 2106.09685, Sec. 4.1.
    Raises:
        ValueError: four bits without adapters: weights that are trained cannot be held so.
    """
    if load_in_4bit and not lora_rank:
        raise ValueError("load_in_4bit with lora_rank 0: weights in four bits cannot be trained. Set lora_rank, or load_in_4bit to false.")
    model = model.to("cuda" if torch.cuda.is_available() else "cpu")
    model = four_bits.quantized(model) if load_in_4bit else model
    if not lora_rank:
        return model if train_embeddings else _with_fixed_embeddings(model)
    from peft import LoraConfig, get_peft_model   # takes a second, which other runs save

    config = LoraConfig(r=lora_rank, lora_alpha=2 * lora_rank, target_modules="all-linear", task_type="CAUSAL_LM")
    return get_peft_model(model, config)


def _with_fixed_embeddings(model: Any) -> Any:
    for layer in (model.get_input_embeddings(), model.get_output_embeddings()):
        layer.requires_grad_(False)
    return model


def merged(model: Any) -> Any:
    """Plain weights: adapters added into the layers they sit on, in place; a model without any is returned as it is.

    Of layers in four bits the whole weights come back, on the CPU.
    """
    if four_bits.is_quantized(model):
        return four_bits.whole_again(model)
    return model.merge_and_unload() if hasattr(model, "merge_and_unload") else model


def merged_copy(model: Any) -> Any:
    """`merged` on a copy: the model itself keeps its adapters, to be trained on."""
    return merged(copy.deepcopy(model, four_bits.kept_weights(model))) if hasattr(model, "merge_and_unload") else model


def _source(name_or_folder: str | Path, parameter: str) -> str:
    """The folder's absolute path, or the name where it cannot be a folder's."""
    folder = ROOT / name_or_folder      # an absolute path stays as it is
    if folder.is_dir():
        return str(folder)
    path = Path(name_or_folder)
    if path.is_absolute() or str(name_or_folder).startswith(".") or (ROOT / path.parts[0]).is_dir():
        raise ValueError(f"{parameter}: no folder {folder}; expected one with a transformers model and its tokenizer.\n"
                         "Make it (python -m lib.pipeline params/lab --only 00_base_model), or name another.")
    return str(name_or_folder)


def _load_unsloth(source: str, lora_rank: int, max_length: int) -> tuple[Any, Any]:
    """The same through unsloth; gradient checkpointing is unsloth's own."""
    if not torch.cuda.is_available() or find_spec("unsloth") is None:
        raise ValueError("backend 'unsloth' needs a GPU and requirements-gpu.txt installed. Take backend 'hf' without them.")
    from unsloth import FastLanguageModel

    model, tokenizer = FastLanguageModel.from_pretrained(source, max_seq_length=max_length, load_in_4bit=False,
                                                         full_finetuning=lora_rank == 0)
    if lora_rank:
        model = FastLanguageModel.get_peft_model(model, r=lora_rank, lora_alpha=2 * lora_rank, lora_dropout=0.0,
                                                 target_modules=list(LINEAR_LAYERS), use_gradient_checkpointing="unsloth")
    return model, with_template(tokenizer)
