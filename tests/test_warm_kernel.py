"""Kernels that are forks of a server: with its imports, at home in their own folder and environment, and mortal."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from jupyter_client.blocking import BlockingKernelClient
from jupyter_client.connect import write_connection_file

from lib.provenance import ROOT
from lib.warm_kernel import COMMAND, SOCKET, warm_kernels

FEW = ("colorsys", "ipykernel.kernelapp")   # colorsys: small, and imported by nothing else here
SECONDS = 30


@contextmanager
def kernel(folder: Path, **environment: str) -> Iterator[tuple[subprocess.Popen, BlockingKernelClient]]:
    """The process that a kernel's command starts, and a client of the kernel."""
    file, _ = write_connection_file(str(folder / "connection.json"))
    command = [part.format(connection_file=file) for part in COMMAND]
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **environment}, start_new_session=True)
    client = BlockingKernelClient(connection_file=file)
    client.load_connection_file()
    client.start_channels(hb=False)   # its heart would be taken for dead where the machine is busy
    try:
        client.wait_for_ready(timeout=SECONDS)
        yield process, client
    finally:
        client.stop_channels()
        process.kill()
        process.wait()


def value(client: BlockingKernelClient, expression: str) -> str:
    reply = client.execute("", user_expressions={"value": expression}, reply=True, timeout=SECONDS)
    return reply["content"]["user_expressions"]["value"]["data"]["text/plain"]


@pytest.fixture(scope="module")
def server() -> Iterator[None]:
    with warm_kernels(FEW):
        yield


def test_a_warm_kernel_has_the_imports_and_its_own_folder_and_environment(server: None, tmp_path: Path):
    with kernel(tmp_path, MARK="mine") as (process, client):
        assert value(client, "'colorsys' in __import__('sys').modules") == "True"
        assert value(client, "__import__('os').getcwd()") == repr(str(ROOT))
        assert value(client, "__import__('os').environ['MARK']") == "'mine'"
        assert int(value(client, "__import__('os').getpid()")) != process.pid


def test_two_warm_kernels_share_no_state(server: None, tmp_path: Path):
    (tmp_path / "other").mkdir()
    with kernel(tmp_path) as (_, first), kernel(tmp_path / "other") as (_, second):
        first.execute("import colorsys; colorsys.mark = 1", reply=True, timeout=SECONDS)
        assert value(first, "hasattr(__import__('colorsys'), 'mark')") == "True"
        assert value(second, "hasattr(__import__('colorsys'), 'mark')") == "False"


@pytest.mark.parametrize("is_warm", [True, False])
def test_a_kernel_is_interrupted_and_dies_with_the_process_that_was_started(server: None, tmp_path: Path, is_warm: bool):
    with kernel(tmp_path, **({} if is_warm else {SOCKET: str(tmp_path / "nobody")})) as (process, client):
        assert value(client, "'colorsys' in __import__('sys').modules") == str(is_warm)
        pid = int(value(client, "__import__('os').getpid()"))
        message = client.execute("import time\nprint('begun', flush=True)\ntime.sleep(600)")
        while client.get_iopub_msg(timeout=SECONDS)["msg_type"] != "stream":
            pass
        os.kill(process.pid, signal.SIGINT)
        reply = client.get_shell_msg(timeout=SECONDS)
        assert (reply["parent_header"]["msg_id"], reply["content"]["ename"]) == (message, "KeyboardInterrupt")
        process.kill()
        process.wait()
        assert is_gone(pid)


def is_gone(pid: int, *, looks: int = 100) -> bool:
    """True once there is no such process, or only its remains; waits for it a while."""
    for _ in range(looks):
        state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout.strip()
        if not state or state.startswith("Z"):
            return True
        time.sleep(0.1)
    return False


def test_what_a_kernel_does_to_itself_ends_the_process_that_was_started(server: None, tmp_path: Path):
    with kernel(tmp_path) as (process, client):
        client.execute("import os; os._exit(9)")
        process.wait(timeout=SECONDS)


def test_a_server_is_gone_afterwards_and_no_kernel_asks_for_it(tmp_path: Path):
    before = os.environ.get(SOCKET)
    with warm_kernels(FEW):
        assert os.environ[SOCKET] != before
        with kernel(tmp_path) as (_, client):
            server = int(value(client, "__import__('os').getppid()"))
        assert not is_gone(server, looks=1)
    assert os.environ.get(SOCKET) == before and is_gone(server)
