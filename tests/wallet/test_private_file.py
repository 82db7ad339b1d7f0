"""Files that are private from the first byte, and whole or absent whatever happens."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from pouw.core.errors import UserError
from pouw.wallet.private_file import read_bounded, replace, write_new

CRASH = """
import os, sys
from pathlib import Path
from pouw.wallet import private_file

def die(*arguments):
    os._exit(9)

setattr({owner}, {name!r}, die)
private_file.{function}(Path(sys.argv[1]), b"new content")
"""


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def crash_in(owner: str, name: str, function: str, path: Path) -> None:
    """Run a write in another process that dies at the given call, as at a power cut."""
    script = CRASH.format(owner=owner, name=name, function=function)
    done = subprocess.run([sys.executable, "-c", script, str(path)], check=False)
    assert done.returncode == 9


def test_new_file_is_private_whatever_the_umask(tmp_path: Path) -> None:
    path = tmp_path / "wallet.json"
    previous = os.umask(0)
    try:
        write_new(path, b"secret")
        replace(path, b"secret 2")
    finally:
        os.umask(previous)
    assert mode(path) == 0o600
    assert path.read_bytes() == b"secret 2"
    assert [file.name for file in tmp_path.iterdir()] == ["wallet.json"]


def test_existing_file_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "wallet.json"
    write_new(path, b"old")
    with pytest.raises(UserError, match="exists already"):
        write_new(path, b"new")
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["wallet.json"]


def test_dangling_link_counts_as_existing(tmp_path: Path) -> None:
    path = tmp_path / "wallet.json"
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="exists already"):
        write_new(path, b"new")
    assert not (tmp_path / "elsewhere").exists()


def test_replace_follows_a_link(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    write_new(target, b"old")
    link.symlink_to(target)
    replace(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"


@pytest.mark.parametrize("name", ["fsync", "link"])
def test_crash_while_creating_leaves_nothing(tmp_path: Path, name: str) -> None:
    path = tmp_path / "wallet.json"
    crash_in("os", name, "write_new", path)
    assert not path.exists()
    for stray in tmp_path.iterdir():
        assert mode(stray) == 0o600
    write_new(path, b"second try")
    assert path.read_bytes() == b"second try"


@pytest.mark.parametrize(("owner", "name"), [("os", "fsync"), ("Path", "replace")])
def test_crash_while_replacing_leaves_the_old_state(tmp_path: Path, owner: str, name: str) -> None:
    path = tmp_path / "wallet.json"
    write_new(path, b"old content")
    crash_in(owner, name, "replace", path)
    assert path.read_bytes() == b"old content"
    replace(path, b"second try")
    assert path.read_bytes() == b"second try"


def test_full_disk_leaves_the_old_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "wallet.json"
    write_new(path, b"old content")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="No space left on device"):
        replace(path, b"new")
    with pytest.raises(UserError, match="No space left on device"):
        write_new(tmp_path / "other.json", b"new")
    assert path.read_bytes() == b"old content"
    assert [file.name for file in tmp_path.iterdir()] == ["wallet.json"]


def test_folder_that_is_not_there(tmp_path: Path) -> None:
    for write in (write_new, replace):
        with pytest.raises(UserError, match="cannot write"):
            write(tmp_path / "nowhere" / "wallet.json", b"x")


def test_reading(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with pytest.raises(UserError, match="there is no file"):
        read_bounded(path, 10)
    write_new(path, b"0123456789")
    assert read_bounded(path, 10) == b"0123456789"
    with pytest.raises(UserError, match="longer than 9 bytes"):
        read_bounded(path, 9)
    with pytest.raises(UserError, match="cannot read"):
        read_bounded(tmp_path, 10)
