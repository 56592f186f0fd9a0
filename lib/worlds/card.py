"""The model card of the small base model: what it is, how it was made, how it measures, what it is not for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lib.metrics import describe
from lib.stages import BaseModelParams

CARD = """---
license: apache-2.0
library_name: transformers
pipeline_tag: text-generation
---
# A small reader of tool documents

A {kind} of {num_weights:,} weights that reads the documents of tools, copies names and values, calls, and answers; nothing else.
It was trained {origin} by `notebooks/00_base_model.ipynb` on tool worlds (`lib/worlds/`), made up or from a hand-written atlas.
These share no tool, API or question with the repository's hub, on which the other notebooks fine-tune and measure it.

| measure | value |
| --- | --- |
{measures}

Accuracies are shares. Held-out wordings are forms of questions and documents that were never trained on; of the atlas, whole
categories are held out.

Training: {num_tokens:,} tokens, {hidden_size} wide, {num_layers} layers, {num_heads} heads, {vocab_size:,} entries in the
vocabulary, seed {seed}, Muon and AdamW, MLflow run `{run_id}`.

Limits: English forms of questions that the worlds know, a context of {context:,} tokens, no knowledge of the world, no chat.
It exists so that the notebooks run on a laptop; use it for nothing that matters.
"""


def write_card(folder: Path, model: Any, params: BaseModelParams, measures: Mapping[str, float], *, run_id: str) -> str:
    """Write the model card as README.md and return its text.

    Args:
        measures: metric -> value, each named in METRICS.
    """
    rows = [f"| {describe(name).meaning} | {value:.3f} |" for name, value in measures.items()]
    text = CARD.format(
        num_weights=model.num_parameters(),
        measures="\n".join(rows),
        run_id=run_id,
        kind=type(model).__name__.removesuffix("ForCausalLM"),
        origin=f"on from the weights of `{params.start_model}`" if params.start_model else "from nothing",
        context=model.config.max_position_embeddings,
        **params.model_dump(),
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "README.md").write_text(text, encoding="utf-8")
    return text
