"""Trees: read from ToolBench's files and written back, cut into steps, stored, counted and drawn."""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase
from operator import attrgetter
from pathlib import Path

import orjson
import pytest

from lib.search.state import Code, Observation, Step
from lib.trees.__main__ import main
from lib.trees.draw import SUCCESS, draw_tree, layout
from lib.trees.many import map_trees
from lib.trees.nodes import MAX_DEPTH
from lib.trees.record import ACTION, ACTION_INPUT, THOUGHT, Node, Tree
from lib.trees.sft import sft_samples
from lib.trees.steps import edges_from, grow, num_steps, paths, state_at, success_edges, success_path
from lib.trees.store import read_trees, write_trees
from lib.trees.toolbench import iter_trees, parse_tree, read_tree, tree_to_json, write_tree

MOON_PATH = Path(__file__).parent / "data" / "7_DFS_woFilter_w2.json"
OK, ANSWERED, HALLUCINATED = Observation("fine", 0), Observation("done", 3), Observation("no such function", 1)
FINISH_STEP = Step(name="Finish", arguments='{"return_type": "give_answer", "final_answer": "yes"}')


def tree_over(root: Node, **known: object) -> Tree:
    return Tree(**{"tree_id": "1_DFS_woFilter_w2", "query_id": "1", "query": "Is it?", "functions": [{"name": "Finish"}],
                   "root": root, "win": True, **known})


def moon() -> dict:
    return orjson.loads(MOON_PATH.read_bytes())


def parse(raw: object) -> Tree:
    return parse_tree(orjson.dumps(raw), where="a.json", tree_id="7_DFS_woFilter_w2")


# --- steps -----------------------------------------------------------------------------------------------------------


def test_a_step_is_one_message_however_many_nodes_it_has():
    #  root ─ Thought ─ Action ─ Input(1) ─ Thought(2) ─ Action ─ Input(3)
    root = Node(ACTION_INPUT)
    first = grow(root, Step("look", "search", "{}"), OK, expand_num=1)
    second = grow(first, Step("so that is it"), None, expand_num=2)
    grow(second, FINISH_STEP, ANSWERED, expand_num=3)
    tree = tree_over(root)
    assert num_steps(tree) == 3
    assert [len(path[-1].nodes) for path in paths(tree)] == [3, 1, 2]
    assert [step for _, step, _ in success_path(tree)] == [Step("look", "search", "{}"), Step("so that is it"), FINISH_STEP]


@pytest.mark.parametrize(("step", "observation"), [
    (Step("why", "search", '{"q": 1}'), OK),
    (Step(name="search", arguments="not json"), Observation("", 12)),
    (Step("only words"), None),
    (Step("", "search", "{}", token_ids=(5, 7), logp=-1.5), OK),
    (Step(failed=True), None),
])
def test_a_step_that_is_hung_into_a_tree_is_read_from_it_again(step, observation):
    root = Node(ACTION_INPUT)
    grow(root, step, observation, expand_num=1)
    [edge] = edges_from(root)
    assert edge.turns == ((step, observation),)


def test_parallel_calls_of_one_message_are_one_step_and_several_turns():
    root = Node(ACTION_INPUT)
    first = grow(root, Step("both", "search", "{}"), OK)             # not a state: expand_num stays 0
    grow(first, Step(name="weather", arguments="{}"), Observation("rain", 11), expand_num=1)
    [edge] = edges_from(root)
    assert edge.turns == ((Step("both", "search", "{}"), OK), (Step(name="weather", arguments="{}"), Observation("rain", 11)))
    assert (edge.step.name, edge.code) == ("search", 11)


def test_a_hallucinated_name_is_hidden_in_the_history_but_not_in_the_step():
    root = Node(ACTION_INPUT)
    first = grow(root, Step(name="serch", arguments="{}"), HALLUCINATED, expand_num=1)
    grow(first, FINISH_STEP, ANSWERED, expand_num=2)
    [_, (state, _, _)] = success_path(tree_over(root))
    [(hallucinated, _)] = state.turns
    assert hallucinated.name == "invalid_hallucination_function_name"
    assert edges_from(root)[0].step.name == "serch"


def test_the_first_answer_of_the_search_is_the_one_that_counts():
    root = Node(ACTION_INPUT)
    grow(root, FINISH_STEP, ANSWERED, expand_num=2)
    early = grow(root, FINISH_STEP, ANSWERED, expand_num=1)
    assert success_edges(tree_over(root))[-1].end is early


def test_every_step_to_the_answer_gives_one_sft_sample():
    [look, finish] = sft_samples(read_tree(MOON_PATH))
    assert (look.step.name, look.step_index, look.state.turns, look.code) == ("moon_phase_for_sky", 0, (), 0)
    assert (finish.step.name, finish.step_index, len(finish.state.turns), finish.code) == ("Finish", 1, 1, 3)
    assert (look.tree_id, look.query_id, look.state.system) == ("7_DFS_woFilter_w2", "7", "You are AutoGPT.")


# --- answer files ----------------------------------------------------------------------------------------------------


def test_writing_what_was_read_gives_the_same_json():
    assert tree_to_json(read_tree(MOON_PATH)) == moon()


def test_a_tree_is_told_by_its_file():
    tree = read_tree(MOON_PATH)
    assert (tree.tree_id, tree.query_id, tree.method) == ("7_DFS_woFilter_w2", "7", "DFS_woFilter_w2")
    assert (tree.query, tree.system, tree.win, tree.query_count) == ("Which phase has the moon?", "You are AutoGPT.", True, 3)
    assert num_steps(tree) == tree.query_count


def test_a_tree_of_our_own_comes_back_from_a_file_equal(tmp_path):
    root = Node(ACTION_INPUT)
    first = grow(root, Step("look", "serch", "{}", token_ids=(1, 2), logp=-0.5), HALLUCINATED, expand_num=1)
    grow(root, Step(name="search", arguments="{}"), OK, expand_num=3, pruned=True)
    grow(first, FINISH_STEP, ANSWERED, expand_num=2)
    tree = tree_over(root, scenario="G1_tool", system="Be brief.", final_answer=FINISH_STEP.arguments, extra={"num_tokens": 5})
    write_tree(tmp_path / "1_DFS_woFilter_w2.json", tree)
    assert read_tree(tmp_path / "1_DFS_woFilter_w2.json") == tree
    assert [path.name for path in tmp_path.iterdir()] == ["1_DFS_woFilter_w2.json"]


def test_rebuilt_training_messages_hold_no_diversity_message():
    raw = moon()
    del raw["answer_generation"]["train_messages"]
    raw["system"] = "You are AutoGPT."
    [first, second] = tree_to_json(parse(raw))["answer_generation"]["train_messages"]
    assert [message["role"] for message in first] == ["system", "user", "assistant"]
    assert [message["role"] for message in second] == ["system", "user", "assistant", "function", "assistant"]
    assert second[2:4] == [
        {"role": "assistant", "content": "The previous call failed.",
         "function_call": {"name": "moon_phase_for_sky", "arguments": '{"day": "today"}'}},
        {"role": "function", "name": "moon_phase_for_sky", "content": '{"error": "", "response": "full"}'}]


def node_json(node_type: str, description: str, **known: object) -> dict:
    return {"is_terminal": False, "pruned": False, "finished": False, "depth": 0, "node_type": node_type,
            "description": description, "Elo": 1000.0, "child_count": 0, "expand_num": 0, **known}


def chains_json(query_count: int) -> dict:
    """Two tries, of which the second answers: Action, Input | Thought, Action, Input."""
    failed = [node_json(ACTION, "search"), node_json(ACTION_INPUT, "{}", observation="x", observation_code=8)]
    answered = [node_json(THOUGHT, "I know"), node_json(ACTION, "Finish"),
                node_json(ACTION_INPUT, "{}", observation="done", observation_code=3)]
    return {"win": True, "try_count": 2, "trys": [{"chain": failed, "win": False}, {"chain": answered, "win": False}],
            "forward_args": {"pass_at": 2},
            "answer_generation": {"query": "q", "function": [{"name": "Finish"}], "query_count": query_count,
                                  "final_answer": "{}"}}


@pytest.mark.parametrize(("query_count", "steps"), [
    (2, [[Step(name="search", arguments="{}")], [Step("I know", "Finish", "{}")]]),
    (3, [[Step(name="search", arguments="{}")], [Step("I know"), Step(name="Finish", arguments="{}")]]),
])
def test_each_chain_of_a_cot_file_hangs_below_the_root_cut_as_its_query_count_says(query_count, steps):
    tree = parse_tree(orjson.dumps(chains_json(query_count)), where="a.json", tree_id="9_CoT@2")
    leaves = [path for path in paths(tree) if not path[-1].end.children]
    assert [[edge.step for edge in path] for path in leaves] == steps
    assert tree.method == "CoT@2"
    again = parse_tree(orjson.dumps(tree_to_json(tree)), where="b.json", tree_id="9_CoT@2")
    assert again == tree
    assert [attempt["win"] for attempt in tree_to_json(again)["trys"]] == [False, False]  # as found, though the second won


def test_a_chain_of_our_own_keeps_its_messages_apart():
    root = Node(ACTION_INPUT)
    first = grow(root, Step("text"), None, expand_num=1)              # a message of its own ...
    grow(first, Step("with a call", "Finish", "{}"), ANSWERED, expand_num=2)  # ... and one in the message of a call
    tree = tree_over(root, tree_id="1_CoT@1", method="CoT@1", query_count=2, final_answer="{}")
    assert parse_tree(orjson.dumps(tree_to_json(tree)), where="a.json", tree_id="1_CoT@1") == tree


def changed(*path: str | int, to: object) -> bytes:
    raw = moon()
    target = raw
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = to
    return orjson.dumps(raw)


def without(*path: str) -> bytes:
    raw = moon()
    target = raw
    for key in path[:-1]:
        target = target[key]
    del target[path[-1]]
    return orjson.dumps(raw)


def nested(num_nodes: int) -> bytes:
    """An answer file whose nodes hang in one row, the root counted."""
    nodes = b'{"node_type": "Thought", "description": "", "children": [' * num_nodes + b"]}" * num_nodes
    return b'{"win": false, "answer_generation": %s, "tree": {"tree": %s}}' % (
        orjson.dumps({"query": "q", "function": [], "query_count": 0, "final_answer": ""}), nodes)


@pytest.mark.parametrize(("data", "message"), [
    (MOON_PATH.read_bytes()[:2000], "a.json, byte 2000 of 2000: found broken *, expected one whole object. *"),
    (b"", "a.json, byte 0 of 0: found broken *, expected one whole object. *"),
    (b"\xff\xfe", "a.json, byte 0 of 2: found broken *, expected one whole object. *"),
    (b"[1, 2]", "a.json, top level: found list, expected an object with 'tree' *"),
    (b'{"query_id": 1}', "a.json, top level: found an object without them (query_id), expected an object with 'tree' *"),
    (without("win"), "a.json, win: found no such key, expected true or false. *"),
    (without("answer_generation"), "a.json, answer_generation: found no such key, expected an object. *"),
    (without("answer_generation", "query"), "a.json, answer_generation.query: found no such key, expected a string. *"),
    (changed("answer_generation", "query", to=None), "a.json, answer_generation.query: found NoneType, expected a string. *"),
    (changed("answer_generation", "query_count", to=True), "a.json, answer_generation.query_count: found bool, expected a *"),
    (changed("answer_generation", "function", to={}), "a.json, answer_generation.function: found dict, expected a list. *"),
    (changed("answer_generation", "function", 0, to="f"),
     "a.json, answer_generation.function[[]0]: found str, expected an object. *"),
    (changed("tree", "tree", to=None), "a.json, tree.tree: found NoneType, expected an object. *"),
    (changed("tree", "tree", "children", to=None), "a.json, tree.tree.children: found NoneType, expected a list. *"),
    (changed("tree", "tree", "children", 1, to=3), "a.json, tree.tree.children[[]1]: found int, expected an object. *"),
    (changed("tree", "tree", "children", 0, "node_type", to="Guess"),
     "a.json, tree.tree.children[[]0].node_type: found 'Guess', expected 'Thought', 'Action' or 'Action Input'. *"),
    (changed("tree", "tree", "children", 0, "observation_code", to="0"),
     "a.json, tree.tree.children[[]0].observation_code: found str, expected a whole number. *"),
    (changed("method", to="CoT@1"), "a.json, method: found 'CoT@1', expected a name that fits the layout *"),
    (nested(MAX_DEPTH + 2), "a.json, tree.tree.children[[]0]*: found more than 120 nodes in a row, expected about 14, *"),
    (nested(100_000), "a.json, byte *: found broken or too deeply nested JSON *, expected one whole object. *"),
    (changed("made_for", to=orjson.Fragment(b"[" * 300 + b"]" * 300)),
     "a.json, some value: found what cannot be written again *, expected at most 254 levels of nesting. *"),
])
def test_a_damaged_file_is_refused_with_place_finding_and_expectation(data, message):
    with pytest.raises(ValueError) as error:
        parse_tree(data, where="a.json", tree_id="7_DFS_woFilter_w2")
    assert fnmatchcase(str(error.value), message)


@pytest.mark.parametrize("key", ["is_terminal", "depth", "Elo", "child_count", "io_state", "observation", "observation_code", "unheard"])
@pytest.mark.parametrize("value", [None, True, 7, "", {}, {"a": 1}])
@pytest.mark.parametrize("place", [("children", 0), ("children", 0, "children", 0), ("children", 1)])
def test_whatever_a_node_holds_is_written_as_it_was_read_or_refused(key: str, value: object, place: tuple[str | int, ...]):
    data = changed("tree", "tree", *place, key, to=value)
    try:
        tree = parse_tree(data, where="a.json", tree_id="7_DFS_woFilter_w2")
    except ValueError as error:
        assert key.startswith("observation") and f".{key}: found {type(value).__name__}, expected" in str(error)
    else:
        assert tree_to_json(tree) == orjson.loads(data)


@pytest.mark.parametrize("place", [
    ("made_for",), ("forward_args", "x"), ("answer_generation", "made_for"), ("answer_generation", "function", 0, "parameters"),
    ("tree", "made_for"), ("tree", "tree", "made_for"), ("tree", "tree", "children", 0, "children", 0, "token_ids"),
])
def test_values_may_nest_as_deep_as_orjson_writes(place: tuple[str | int, ...]):
    files = [changed(*place, to=orjson.Fragment(b"[" * levels + b"]" * levels)) for levels in range(235, 256)]
    is_written = [works(lambda data=data: orjson.dumps(orjson.loads(data))) for data in files]
    assert [works(lambda data=data: parse_tree(data, where="a.json", tree_id="7_DFS_woFilter_w2")) for data in files] == is_written
    assert is_written[0] and not is_written[-1]


def works(act: Callable[[], object]) -> bool:
    try:
        act()
    except (ValueError, TypeError):   # orjson.JSONEncodeError is a TypeError
        return False
    return True


def test_a_tree_as_deep_as_the_limit_is_read_and_written():
    tree = parse_tree(nested(MAX_DEPTH + 1), where="a.json", tree_id="1_DFS")
    assert max(node.depth for node in tree.root.walk()) == MAX_DEPTH
    assert parse_tree(orjson.dumps(tree_to_json(tree)), where="a.json", tree_id="1_DFS") == tree


# --- many trees ------------------------------------------------------------------------------------------------------


def test_folders_are_searched_in_order_and_what_is_no_tree_is_set_aside(tmp_path):
    deep = tmp_path / "b" / "c"
    deep.mkdir(parents=True)
    (deep / "2_DFS_woFilter_w2.json").write_bytes(MOON_PATH.read_bytes())
    (tmp_path / "a_DFS_woFilter_w2.json").write_bytes(MOON_PATH.read_bytes()[:-30])
    (tmp_path / "1_DFS_woFilter_w2.json").write_bytes(MOON_PATH.read_bytes())
    (deep / "queries.json").write_text("[]")
    (deep / "notes.txt").write_text("not looked at")
    bad = []
    assert [tree.tree_id for tree in iter_trees([tmp_path], bad.append)] == ["1_DFS_woFilter_w2", "2_DFS_woFilter_w2"]
    assert [Path(one.path).name for one in bad] == ["a_DFS_woFilter_w2.json", "queries.json"]
    assert "found list, expected an object with 'tree'" in bad[1].reason


def test_a_folder_that_is_not_there_is_an_error_not_an_empty_count(tmp_path):
    with pytest.raises(ValueError, match="nowhere: found nothing there"):
        list(iter_trees([tmp_path / "nowhere"], print))


def test_a_store_gives_back_the_trees_that_were_put_in(tmp_path):
    by_hand = tree_over(Node(ACTION_INPUT), tree_id="made by hand", query_id="q-1", win=False, scenario="train")
    trees = [read_tree(MOON_PATH), by_hand]
    assert write_trees(tmp_path / "trees.jsonl", trees) == 2
    assert list(read_trees(tmp_path / "trees.jsonl")) == trees
    assert list(iter_trees([tmp_path], print)) == trees


def test_a_store_that_was_cut_off_loses_its_last_line_only(tmp_path):
    path = tmp_path / "trees.jsonl"
    write_trees(path, [read_tree(MOON_PATH)] * 2)
    path.write_bytes(path.read_bytes()[:-50])
    bad = []
    assert len(list(iter_trees([path], bad.append))) == 1
    assert [one.path for one in bad] == [f"{path}, line 2"]
    with pytest.raises(ValueError, match="trees.jsonl, line 2, byte"):
        list(read_trees(path))


def test_a_store_that_is_killed_while_writing_leaves_the_old_one(tmp_path):
    def dying():
        yield read_tree(MOON_PATH)
        raise KeyboardInterrupt

    path = tmp_path / "trees.jsonl"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt):
        write_trees(path, dying())
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("trees.jsonl", "old")]


def test_the_command_prints_one_object_of_counts(tmp_path, capsys):
    (tmp_path / "7_DFS_woFilter_w2.json").write_bytes(MOON_PATH.read_bytes())
    (tmp_path / "empty.json").write_text("{}")
    main([str(tmp_path)])
    printed = capsys.readouterr()
    # by hand: 8 nodes; 3 messages; at the root the second call is preferred to the first; one other leaf
    assert orjson.loads(printed.out) == {"trees": 1, "set_aside": 1, "wins": 1, "nodes": 8, "steps": 3, "step_pairs": 1,
                                         "trees_with_step_pairs": 1, "path_pairs": 1}
    assert "empty.json" in printed.err


def test_the_command_says_the_same_with_one_process_and_with_two(tmp_path, capsys):
    for number in range(40):
        data = MOON_PATH.read_bytes()
        (tmp_path / f"{number:02}_DFS_woFilter_w2.json").write_bytes(data[:-30] if number % 7 == 3 else data)
    write_trees(tmp_path / "store.jsonl", [read_tree(MOON_PATH)] * 2)
    drawing = ["--draw", str(tmp_path / "tree.png"), "--tree", "39_DFS_woFilter_w2"]
    printed = []
    for processes in ("1", "2"):
        main([str(tmp_path), "--processes", processes, *drawing])
        printed.append(capsys.readouterr())
    assert printed[0] == printed[1]
    counts = orjson.loads(printed[0].out)
    assert (counts["trees"], counts["set_aside"]) == (36, 6)   # by hand: 40 files less 3, 10, 17, 24, 31, 38, and a store of 2
    assert [line.partition("_DFS")[0][-2:] for line in printed[0].err.splitlines()] == ["03", "10", "17", "24", "31", "38"]


@pytest.mark.parametrize(("change", "is_whole"), [
    ({}, False), ({"depth": 7}, True), ({"depth": 1.0}, True), ({"q_value": 0.5, "token_ids": [1, 2]}, True), ({"expand_num": -1}, True),
])
def test_what_toolbench_does_not_write_is_read_whole_so_that_nothing_of_it_is_lost(change: dict[str, object], is_whole: bool):
    raw = orjson.loads(MOON_PATH.read_bytes())
    raw["tree"]["tree"]["children"][0] |= change
    data = orjson.dumps(raw)
    lean, whole = (parse_tree(data, where="7.json", tree_id="7_DFS_woFilter_w2", keep_rest=keep_rest) for keep_rest in (False, True))
    assert lean.is_whole is is_whole and [node.depth for node in lean.root.walk()] == [node.depth for node in whole.root.walk()]
    assert not is_whole or lean == whole


def test_a_tree_read_for_pairs_alone_is_never_written():
    with pytest.raises(ValueError, match="tree 7_DFS_woFilter_w2: found one that was read without what pairs do not need"):
        tree_to_json(read_tree(MOON_PATH, keep_rest=False))


@pytest.mark.parametrize("num_processes", [1, 2])
def test_what_is_made_of_trees_comes_in_the_order_of_the_files(num_processes, tmp_path):
    names = [f"{number:02}" for number in range(50)]
    for name in names:
        (tmp_path / f"{name}_DFS_woFilter_w2.json").write_bytes(MOON_PATH.read_bytes())
    assert list(map_trees(attrgetter("query_id"), [tmp_path], print, num_processes=num_processes)) == names


def test_the_command_draws_the_tree_that_is_named(tmp_path, capsys):
    main([str(MOON_PATH), "--draw", str(tmp_path / "new" / "tree.png"), "--tree", MOON_PATH.name])
    assert (tmp_path / "new" / "tree.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("arguments", [["--draw", "x.png"], ["--draw", "x.png", "--tree", "8_DFS"], ["nowhere"], ["--processes", "0"]])
def test_the_command_refuses_what_it_cannot_do(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        main([str(MOON_PATH), *arguments])
    assert stop.value.code == 2


# --- drawing ---------------------------------------------------------------------------------------------------------


def test_a_first_try_goes_on_in_its_row_and_later_tries_open_rows_below():
    #  root ─┬─ a ─┬─ b
    #        │     └─ c
    #        └─ d ─── e
    root = Node(ACTION_INPUT)
    a = grow(root, Step(name="a"), OK, expand_num=1)
    b = grow(a, Step(name="b"), OK, expand_num=2)
    c = grow(a, Step(name="c"), OK, expand_num=3)
    d = grow(root, Step(name="d"), OK, expand_num=4)
    e = grow(d, FINISH_STEP, ANSWERED, expand_num=5)
    places = layout(tree_over(root))
    assert [places[id(node)] for node in (root, a, b, c, d, e)] == [(0, 0), (1, 0), (2, 0), (2, 1), (1, 2), (2, 2)]


def test_a_drawing_names_functions_and_outcomes_and_colours_the_way_to_the_answer():
    raw = moon()
    raw["answer_generation"]["query"] = "What is $x$ in {x^2"  # must not be read as mathematics
    figure = draw_tree(parse(raw))
    figure.draw_without_rendering()
    [axes] = figure.axes
    words = {text.get_text() for text in axes.texts}
    assert words == {"moon", "no such function", "moon_phase", "ok", "Finish", "final answer"}
    coloured = [line for line in axes.lines if line.get_color() == SUCCESS and line.get_marker() == "None"]
    assert len(coloured) == 2  # two steps lead to the answer
    width, height = figure.get_size_inches()
    assert width >= 6.0 and height >= 4.0


def test_a_tree_without_steps_is_drawn_too():
    figure = draw_tree(tree_over(Node(ACTION_INPUT), win=False))
    assert figure.get_supxlabel() == "1_DFS_woFilter_w2: 0 steps, no final answer"


def test_a_state_tells_the_conversation_of_its_path():
    tree = read_tree(MOON_PATH)
    state = state_at(tree, success_edges(tree))
    assert state.query == "Which phase has the moon?"
    assert [step.name for step, _ in state.turns] == ["moon_phase_for_sky", "Finish"]
    assert [observation.code for _, observation in state.turns] == [Code.OK, Code.FINAL_ANSWER]
    assert (state.diversity, [function["name"] for function in state.functions]) == ("", ["moon_phase_for_sky", "Finish"])
