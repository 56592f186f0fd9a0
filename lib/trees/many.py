"""What is made of many trees, file by file: in one process, or in several and in the same order."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

from tqdm.auto import tqdm

from lib.trees.record import Tree
from lib.trees.toolbench import SetAside, answer_files, read_files

FILES_A_TASK = 16      # what one process is given at a time
TASKS_A_PROCESS = 3    # under way at once, so that a slow reader of the results does not let them pile up
Made = TypeVar("Made")


def map_trees(work: Callable[[Tree], Made], sources: Iterable[str | os.PathLike[str]], on_bad: Callable[[SetAside], None], *,
              num_processes: int = 1, keep_rest: bool = True) -> Iterator[Made]:
    """What `work` makes of each tree of files and folders, in the order of `iter_trees`, with a progress bar over the files (on a terminal).

    What is no tree goes to `on_bad` in the same order, whatever the number of processes. With several, `work` and what it makes go
    from one to another by pickle: give a function of a module. A store is read by one process, and what is made of it kept until
    its end; with one process nothing is kept. `keep_rest` is `read_tree`'s.
    """
    files = answer_files(sources)
    with tqdm(total=len(files), desc="files of trees", disable=None) as bar:
        if num_processes == 1:
            for path in files:
                yield from map(work, read_files([path], on_bad, keep_rest=keep_rest))
                bar.update()
            return
        for made, num_files in _made_elsewhere(work, files, num_processes, keep_rest):
            for one in made:
                if isinstance(one, SetAside):
                    on_bad(one)
                else:
                    yield one
            bar.update(num_files)


def _made_elsewhere(work: Callable[[Tree], Made], files: list[Path], num_processes: int, keep_rest: bool,
                    ) -> Iterator[tuple[list[Made | SetAside], int]]:
    """Of each task what was made and set aside, and how many files it had; in the order of the files."""
    tasks = [files[start:start + FILES_A_TASK] for start in range(0, len(files), FILES_A_TASK)]
    waiting: deque[tuple[Future[list[Made | SetAside]], int]] = deque()
    with ProcessPoolExecutor(num_processes, mp_context=get_context("spawn")) as pool:
        for task in tasks:
            waiting.append((pool.submit(_made_of, work, task, keep_rest), len(task)))
            if len(waiting) == TASKS_A_PROCESS * num_processes:
                future, num_files = waiting.popleft()
                yield future.result(), num_files
        for future, num_files in waiting:
            yield future.result(), num_files


def _made_of(work: Callable[[Tree], Made], files: list[Path], keep_rest: bool) -> list[Made | SetAside]:
    """What is made of the trees of these files, and what is none, in their order."""
    found: list[Made | SetAside] = []
    for tree in read_files(files, found.append, keep_rest=keep_rest):
        found.append(work(tree))
    return found
