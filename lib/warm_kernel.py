"""Kernels whose heavy imports are done: a server imports the libraries once, and every kernel of a pipeline is a fork of it.

Six stages that each import torch, transformers and MLflow spend a minute and a half of the lab on it. None of the project's own code is
imported ahead, so that a stage runs what is on the disk when it starts.

    python -m lib.warm_kernel --serve SOCKET    the server
    python -m lib.warm_kernel -f FILE           a kernel's command: it has the server fork, or without one is a plain kernel itself
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

SOCKET = "WARM_KERNELS"   # environment variable with the server's address
INLINE = "module://matplotlib_inline.backend_inline"   # as kernels set it before matplotlib is imported
MODULES = ("torch", "transformers.models.auto.modeling_auto", "transformers.generation", "peft", "mlflow", "mlflow.transformers",
           "sklearn.metrics", "scipy.stats", "pandas", "matplotlib.figure", "matplotlib.backends.backend_agg", "ipykernel.kernelapp")
SECONDS_BETWEEN_LOOKS = 1.0   # of the server, whether its pipeline is still there
COMMAND = (sys.executable, "-m", "lib.warm_kernel", "-f", "{connection_file}")


@contextmanager
def warm_kernels(modules: Sequence[str] = MODULES) -> Iterator[None]:
    """Kernels that are started inside are forks of one server. Nothing changes on systems other than Linux: the libraries of macOS must not
    be forked once they have started threads."""
    if sys.platform != "linux":
        yield
        return
    before = os.environ.get(SOCKET)
    with tempfile.TemporaryDirectory(prefix="kernels-") as folder:
        os.environ[SOCKET] = address = f"{folder}/socket"
        command = [sys.executable, "-m", "lib.warm_kernel", "--serve", address, *modules]
        server = subprocess.Popen(command, start_new_session=True, cwd=Path(__file__).parents[1])   # Ctrl-C is the pipeline's to handle
        try:
            while not Path(address).exists() and server.poll() is None:
                time.sleep(0.05)   # it listens before it imports; a kernel that came sooner would find nobody
            yield
        finally:
            os.environ.pop(SOCKET)
            os.environ.update({} if before is None else {SOCKET: before})
            server.kill()
            server.wait()


def serve(address: str, modules: Sequence[str]) -> None:
    """Listen at once, import `modules`, then fork a kernel for whoever asks, as long as the process that started this one lives."""
    parent = os.getppid()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        os.environ.setdefault("MPLBACKEND", INLINE)
        for name in modules:
            importlib.import_module(name)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)   # nobody waits for the kernels: they are not to stay as zombies
        listener.settimeout(SECONDS_BETWEEN_LOOKS)
        while os.getppid() == parent:
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            with connection:
                asked = connection.makefile("r").readline()
                if asked and os.fork() == 0:
                    listener.close()
                    _become_kernel(connection, **json.loads(asked))


def _become_kernel(connection: socket.socket, file: str, folder: str, environment: dict[str, str]) -> None:
    """Run a kernel in this process, to its end. It dies with whoever asked for it."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    connection.sendall(f"{os.getpid()}\n".encode())
    threading.Thread(target=lambda: connection.recv(1) or os._exit(1), daemon=True).start()
    status = 1
    try:
        _plain_kernel(file, f"--IPKernelApp.parent_handle={os.getppid()}")   # the server, without which it ends as well
        status = 0
    finally:
        os._exit(status)


def launch(file: str) -> int:
    """Returns 0 once a kernel has ended, however it did: one forked by the server, or this process itself where none answers."""
    try:
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(os.environ[SOCKET])
        asked = {"file": file, "folder": os.getcwd(), "environment": dict(os.environ)}
        connection.sendall(f"{json.dumps(asked)}\n".encode())
        answer = connection.makefile("r").readline()   # comes once the imports are done
    except (AttributeError, KeyError, OSError):        # no such sockets, no server named, none there
        answer = ""
    if not answer:
        _plain_kernel(file)
        return 0
    signal.signal(signal.SIGINT, lambda *_: os.kill(int(answer), signal.SIGINT))
    connection.recv(1)                                 # waits: nothing more is ever sent, and the end comes with the kernel's
    return 0


def _plain_kernel(file: str, *options: str) -> None:
    if sys.path[0] in ("", os.getcwd()):
        del sys.path[0]                                # as ipykernel_launcher does; it comes back with the shell
    from ipykernel import kernelapp

    kernelapp.launch_new_instance(["-f", file, *options])


if __name__ == "__main__":
    if sys.argv[1] == "--serve":
        serve(sys.argv[2], sys.argv[3:])
    else:
        sys.exit(launch(sys.argv[2]))
