"""Managed processes: started with a log, stopped for certain."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from pouw.core.errors import UserError
from pouw.devnet import process as module
from pouw.devnet.process import ManagedProcess, NodeProcess, free_port

# One write: a signal between the two that print makes would split the line.
READY_THEN_SLEEP = "import os, time; os.write(1, b'ready\\n'); time.sleep(60)"
IGNORES_SIGTERM = (
    f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {READY_THEN_SLEEP}"
)


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ManagedProcess]:
    """A function that plans a process which runs some lines of Python."""
    folder = tmp_path / "modules"
    folder.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(folder))

    def plan(source: str) -> ManagedProcess:
        (folder / "managed_script.py").write_text(source)
        return ManagedProcess("script", "managed_script", [], tmp_path / "logs" / "script.log")

    return plan


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"  # a zombie only waits for its parent


def test_output_and_exit_status(script: Callable[[str], ManagedProcess]) -> None:
    process = script("import sys; print('out', flush=True); sys.exit('err')")
    assert (process.pid, process.exit_code, process.tail()) == (None, None, "")
    process.start()
    wait_until(lambda: not process.running)
    assert (process.exit_code, process.pid) == (1, None)
    assert process.tail() == "out\nerr"


def test_stop_asks_first(script: Callable[[str], ManagedProcess]) -> None:
    process = script(
        "import signal, sys\n"
        "signal.signal(signal.SIGTERM, lambda *_: (print('bye', flush=True), sys.exit(0)))\n"
        + READY_THEN_SLEEP
    )
    process.start()
    wait_until(lambda: process.tail() == "ready")
    process.stop()
    assert (process.exit_code, process.tail()) == (0, "ready\nbye")
    process.stop()  # once more is harmless


def test_stop_makes_it_end(
    script: Callable[[str], ManagedProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STOP_SECONDS", 0.2)
    process = script(IGNORES_SIGTERM)
    process.start()
    wait_until(lambda: process.tail() == "ready")
    process.stop()
    assert process.exit_code == -signal.SIGKILL


def test_kill_ends_it_as_a_crash_would(script: Callable[[str], ManagedProcess]) -> None:
    process = script(IGNORES_SIGTERM)
    process.start()
    wait_until(lambda: process.tail() == "ready")
    process.kill()
    assert process.exit_code == -signal.SIGKILL


def test_ctrl_c_in_the_terminal_does_not_reach_it(script: Callable[[str], ManagedProcess]) -> None:
    process = script(READY_THEN_SLEEP)
    process.start()
    try:
        assert process.pid is not None
        assert os.getpgid(process.pid) != os.getpgid(0)
    finally:
        process.kill()


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's help is Linux' own")
def test_it_ends_with_a_parent_that_is_killed(
    script: Callable[[str], ManagedProcess], tmp_path: Path
) -> None:
    script(READY_THEN_SLEEP)
    parent = subprocess.Popen(
        [
            *(sys.executable, "-c"),
            "import time; from pathlib import Path; from pouw.devnet.process import ManagedProcess;"
            f"p = ManagedProcess('c', 'managed_script', [], Path({str(tmp_path / 'child.log')!r}));"
            "p.start(); print(p.pid, flush=True); time.sleep(60)",
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert is_alive(child)
    parent.kill()
    parent.communicate()
    wait_until(lambda: not is_alive(child))


def test_a_node_that_ends_at_its_start_says_why(tmp_path: Path) -> None:
    (tmp_path / "node").mkdir()
    (tmp_path / "node" / "letter.txt").write_text("dear diary")
    process = NodeProcess("node", tmp_path, "tiny")
    process.start()
    try:
        with pytest.raises(UserError, match=r"node did not start(.|\n)*not a pouw database"):
            process.wait_ready(30)
    finally:
        process.stop()


def test_a_free_port_can_be_listened_on() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", free_port()))
        taken.listen()
