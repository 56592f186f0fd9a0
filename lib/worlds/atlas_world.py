"""Worlds from the atlas: tools of one or two of its categories, with natural documents and questions.

Names are partly replaced by invented ones, so that documents have to be read: a model that knows a function by its name alone learns
these categories by heart and reads no others (function masking, Lin et al. 2024, Hammer, arXiv 2410.04587).
"""

from __future__ import annotations

from random import Random

from lib.worlds.atlas import AtlasApi, AtlasGoal, Category, categories
from lib.worlds.ideas import Idea
from lib.worlds.lexicon import pseudo_word, words
from lib.worlds.world import World, WorldApi, json_type, make_world

TWO_CATEGORIES_SHARE = 0.3
RENAMED_SHARE = 0.3          # of worlds: functions bear invented names
OTHER_TOOLS_SHARE = 0.5      # of worlds: tools bear other names
SHUFFLED_SHARE = 0.2         # of functions: parameters in another order than written


def draw_world(rng: Random, *, num_functions: int, held_out: bool = False, plain: float = 0.0, atlas_share: float) -> World:
    """A world from the atlas with chance `atlas_share`, else a made-up one (`lib.worlds.world.make_world`)."""
    if rng.random() < atlas_share:
        return atlas_world(rng, num_functions=num_functions, held_out=held_out)
    return make_world(rng, num_functions=num_functions, held_out=held_out, plain=plain)


def atlas_world(rng: Random, *, num_functions: int, held_out: bool = False) -> World:
    """A world with about `num_functions` functions, several of them serving one goal now and then, all of them neighbours.

    Args:
        held_out: from the categories that training never meets.
    """
    chosen = rng.sample(categories(held_out=held_out), 2 if num_functions > 3 and rng.random() < TWO_CATEGORIES_SHARE else 1)
    goals = _goals(rng, chosen, max(1, round(num_functions * rng.uniform(0.5, 1.0))))
    offered = [(goal, rng.choice(goal.apis)) for goal in goals]
    others = [(goal, api) for goal in goals for api in goal.apis if (goal, api) not in offered]
    offered += rng.sample(others, min(len(others), num_functions - len(offered)))
    rename, tool_names = rng.random() < RENAMED_SHARE, _tool_names(rng, [api for _, api in offered])
    apis = {}
    for goal, api in rng.sample(offered, len(offered)):
        made = _world_api(rng, goal, api, tool_names[api.tool], rename)
        apis.setdefault(made.function["name"], made)
    return World(tuple(apis.values()), tuple(dict.fromkeys(api.idea for api in apis.values())))


def _goals(rng: Random, chosen: list[Category], count: int) -> list[AtlasGoal]:
    """Goals of the categories; after the first, one that can take its fact where there is one."""
    pool = [goal for category in chosen for goal in category.goals]
    goals = rng.sample(pool, min(count, len(pool)))
    takers = [goal for goal in pool if any(kind == goals[0].output for _, kind in goal.slots) and goal not in goals]
    if takers and len(goals) > 1 and rng.random() < 0.7:
        goals[1] = rng.choice(takers)
    return goals


def _tool_names(rng: Random, apis: list[AtlasApi]) -> dict[str, str]:
    """Tool -> the name it bears in this world."""
    if rng.random() >= OTHER_TOOLS_SHARE:
        return {api.tool: api.tool for api in apis}
    return {tool: f"{rng.choice(words())}_{pseudo_word(rng, 2)}" for tool in dict.fromkeys(api.tool for api in apis)}


def _world_api(rng: Random, goal: AtlasGoal, api: AtlasApi, tool: str, rename: bool) -> WorldApi:
    idea = atlas_idea(goal)
    kinds, parameters = dict(goal.slots), list(api.parameters)
    if rng.random() < SHUFFLED_SHARE and all(len(name) > 2 for name, _ in parameters):
        rng.shuffle(parameters)
    by_slot = {slot: name for name, slot in parameters}
    name = "_".join(pseudo_word(rng, 2) for _ in range(rng.choice((1, 2)))) if rename else api.name
    schema = {"type": "object", "properties": {name: json_type(kinds[slot]) for name, slot in parameters},
              "required": [name for name, _ in parameters]}
    function = {"name": f"{name}_for_{tool}"[-64:], "description": api.description, "parameters": schema}
    return WorldApi(function, idea, tuple(by_slot[slot] for slot, _ in goal.slots), api.answer, goal.name)


def atlas_idea(goal: AtlasGoal) -> Idea:
    """What the goal's APIs tell, with its wordings."""
    return Idea((goal.name.replace("_", " "),), goal.slots, goal.output, asks=goal.asks, reference=goal.reference)
