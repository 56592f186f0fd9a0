"""The process in which bfcl_eval runs: requests come in JSON over a pipe and are answered one after another.

bfcl_eval evaluates text, keeps what it executes in module globals, makes folders when imported and imports twenty vendors'
SDKs for one look-up. All of that stays in here: limited in memory, unable to write files, without the caller's environment, and
killed by the caller when it takes too long (`bfcl_checker.py`). Every request carries all that its answer depends on.
"""

from __future__ import annotations

import ast
import json
import resource
import sys
import uuid
from collections import defaultdict
from importlib import import_module
from multiprocessing.connection import Connection
from types import ModuleType, SimpleNamespace
from typing import Any

MEMORY_BYTES = 2 * 1024 ** 3
MAX_REASON = 500   # characters of a verdict's reason
READY = b"ready"

_MULTI_TURN = "bfcl_eval.eval_checker.multi_turn_eval"
_CLASSES = ("gorilla_file_system", "math_api", "message_api", "posting_api", "ticket_api", "trading_bot", "travel_booking",
            "vehicle_control")
MODULES = ("bfcl_eval.utils", "bfcl_eval.eval_checker.ast_eval.ast_checker", f"{_MULTI_TURN}.multi_turn_checker",
           *(f"{_MULTI_TURN}.func_source_code.{name}" for name in _CLASSES))   # imported first: no request waits for them


def main(descriptor: int) -> None:
    """Say that all is imported, then answer lists of requests until the pipe closes."""
    sys.stdout = sys.stderr   # what bfcl_eval prints is no answer
    stand_in_for_model_config()
    for name in MODULES:
        import_module(name)
    limit_resources()
    with Connection(descriptor) as connection:
        connection.send_bytes(READY)
        while True:
            try:
                requests = json.loads(connection.recv_bytes())
            except EOFError:
                return
            connection.send_bytes(json.dumps([reply(**request) for request in requests]).encode())


def reply(task: str, **request: Any) -> dict[str, Any]:
    """{"answer": ...} of one request, or {"error": text}: the caller decides what a failed check means."""
    try:
        return {"answer": TASKS[task](**request)}
    except Exception as error:
        return {"error": f"bfcl_eval failed over {task}: {type(error).__name__}: {error}"[:MAX_REASON]}


def stand_in_for_model_config() -> None:
    """Put a stub where bfcl_eval keeps its list of models, which imports every vendor's SDK.

    The AST checker asks it one thing: does this model write "_" for "." in function names? None of ours does.
    """
    stub = ModuleType("bfcl_eval.constants.model_config")
    stub.MODEL_CONFIG_MAPPING = defaultdict(lambda: SimpleNamespace(underscore_to_dot=False))
    sys.modules[stub.__name__] = stub


def limit_resources() -> None:
    """Bound this process: memory, no core file, and no file that it writes may hold a byte."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def entries(category: str) -> list[dict[str, Any]]:
    """The questions of a category as bfcl_eval checks them, each with its `gold`; [] where any or no call is right."""
    from bfcl_eval.utils import load_dataset_entry, load_ground_truth_entry
    gold = {} if "relevance" in category else {entry["id"]: entry["ground_truth"] for entry in load_ground_truth_entry(category)}
    return [entry | {"gold": gold.get(entry["id"], [])}
            for entry in load_dataset_entry(category, include_language_specific_hint=False)]


def prompt(entry: dict[str, Any]) -> list[list[dict[str, str]]]:
    """Messages of each turn: the official system prompt first; functions held back so far are shown when their turn comes."""
    from bfcl_eval.constants.default_prompts import DEFAULT_USER_PROMPT_FOR_ADDITIONAL_FUNCTION_PROMPTING as SHOW_FUNCTIONS
    from bfcl_eval.utils import add_language_specific_hint_to_function_doc
    held = entry.get("missed_function", {})
    add_language_specific_hint_to_function_doc([entry])   # in place; not to functions held back, there as here
    turns = [[{"role": "user", "content": SHOW_FUNCTIONS.format(functions=held[str(index)])}] if str(index) in held else messages
             for index, messages in enumerate(entry["question"])]
    system = _system_prompt(entry["function"])
    if turns[0][0]["role"] == "system":   # as bfcl_eval does: its own words first, the question's behind them
        first, *rest = turns[0]
        return [[{"role": "system", "content": f"{system}\n\n{first['content']}"}, *rest], *turns[1:]]
    return [[{"role": "system", "content": system}, *turns[0]], *turns[1:]]


def ast_verdict(category: str, functions: list[dict], calls: str, gold: list[dict]) -> dict[str, Any]:
    """bfcl_eval's verdict on the calls of one message. `calls` is the Python text of a list, since JSON has no tuples."""
    from bfcl_eval.constants.enums import Language
    from bfcl_eval.eval_checker.ast_eval.ast_checker import ast_checker
    language = {"simple_java": Language.JAVA, "simple_javascript": Language.JAVASCRIPT}.get(category, Language.PYTHON)
    verdict = ast_checker(functions, ast.literal_eval(calls), gold, language, category, "ours")
    return {"correct": verdict["valid"], "reason": "" if verdict["valid"] else f"{verdict['error_type']}: {verdict['error']}"[:MAX_REASON]}


def multi_turn_verdict(entry: dict[str, Any], turns: list[list[list[str]]], gold: list[list[str]]) -> dict[str, Any]:
    """bfcl_eval's verdict on a conversation: turns of steps of call strings, executed beside the gold calls."""
    from bfcl_eval.eval_checker.multi_turn_eval import multi_turn_utils
    from bfcl_eval.eval_checker.multi_turn_eval.multi_turn_checker import multi_turn_checker
    with _FreshInstances(multi_turn_utils) as name:
        verdict = multi_turn_checker(turns, gold, entry, entry["id"].rsplit("_", 1)[0], name)
    reason = "" if verdict["valid"] else f"{verdict['error_type']}: {verdict['error_message']}"
    return {"correct": verdict["valid"], "reason": reason[:MAX_REASON]}


def execute(entry: dict[str, Any], earlier: list[str], calls: list[str]) -> list[str]:
    """Results of `calls` in the state that the `earlier` calls of the conversation left; its random numbers are seeded."""
    from bfcl_eval.eval_checker.multi_turn_eval import multi_turn_utils
    with _FreshInstances(multi_turn_utils) as name:
        results, _ = multi_turn_utils.execute_multi_turn_func_call(
            [*earlier, *calls], entry["initial_config"], entry["involved_classes"], name, entry["id"],
            long_context="long_context" in entry["id"])
    return results[len(earlier):]


class _FreshInstances:
    """A model name never used before, whose instances are deleted afterwards: bfcl_eval keeps them in globals and reuses them."""

    def __init__(self, module: ModuleType) -> None:
        self._globals = vars(module)
        self._before = set(self._globals)

    def __enter__(self) -> str:
        return f"run{uuid.uuid4().hex}"

    def __exit__(self, *_: object) -> None:
        for name in set(self._globals) - self._before:
            del self._globals[name]


def _system_prompt(functions: list[dict]) -> str:
    """bfcl_eval's default: a Python call list asked for, functions shown in JSON, plain text, the classic wording."""
    from bfcl_eval.constants import default_prompts as prompts
    style = prompts.PROMPT_STYLE_TEMPLATES["classic"]
    return prompts.PROMPT_TEMPLATE_MAPPING["plaintext"].format(
        persona=style["persona"], task=style["task"], multiturn_behavior=style["multiturn_behavior"],
        tool_call_format=style["tool_call_no_tag"].format(
            output_format=prompts.OUTPUT_FORMAT_MAPPING["python"], param_types=prompts.PARAM_TYPE_MAPPING["python"]),
        available_tools=style["available_tools"].format(format="json", functions=json.dumps(functions, indent=4)))


TASKS = {"entries": entries, "prompt": prompt, "ast_verdict": ast_verdict, "multi_turn_verdict": multi_turn_verdict,
         "execute": execute}

if __name__ == "__main__":
    main(int(sys.argv[1]))
