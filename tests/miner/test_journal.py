"""Results that outlive the process, and only whole ones."""

import stat
from pathlib import Path

import pytest
from pouw.core.errors import UserError
from pouw.miner.journal import Entry, Journal

ENTRY = Entry(bytes(31) + b"\1", 2, bytes(range(32)), b"output", (b"first", b"second"))


def test_entries_come_back_after_a_restart(tmp_path: Path) -> None:
    first = Journal(tmp_path / "state")
    claimed = Entry(bytes(32), 0, bytes(range(32)))
    first.save(claimed)
    first.save(Entry(ENTRY.job, 2, ENTRY.salt))
    first.save(ENTRY)
    first.close()
    second = Journal(tmp_path / "state")
    assert second.load() == [claimed, ENTRY]
    second.remove(claimed.job)
    second.remove(claimed.job)
    assert second.load() == [ENTRY]


def test_a_salt_is_for_its_owner_only(tmp_path: Path) -> None:
    Journal(tmp_path / "state").save(ENTRY)
    (file,) = (tmp_path / "state").glob("*.job")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("damage", [b"", b"\x95garbage", b"\xff" * 50])
def test_a_damaged_entry_is_reported_and_left_alone(
    tmp_path: Path, damage: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = Journal(tmp_path)
    journal.save(ENTRY)
    broken = tmp_path / (bytes(32).hex() + ".job")
    broken.write_bytes(damage)
    assert journal.load() == [ENTRY]
    assert "journal.damaged" in capsys.readouterr().out
    assert broken.exists()


def test_two_miners_do_not_share_a_folder(tmp_path: Path) -> None:
    first = Journal(tmp_path)
    with pytest.raises(UserError, match="another miner uses"):
        Journal(tmp_path)
    first.close()
    Journal(tmp_path).close()


def test_an_unusable_folder_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UserError, match="cannot use"):
        Journal(tmp_path / "file" / "state")
