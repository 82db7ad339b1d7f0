"""The entry point: lazy groups, and how every kind of error ends a command."""

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner
from pouw.cli.main import COMMANDS, pouw, run
from pouw.core.errors import RuleViolation, UserError


def ends(capsys: pytest.CaptureFixture[str], error: BaseException) -> tuple[object, str]:
    """Run a command that raises; return exit status and stderr."""

    @click.command()
    def command() -> None:
        raise error

    with pytest.raises(SystemExit) as caught:
        run(command, "test", [])
    return caught.value.code, capsys.readouterr().err


def test_success_is_zero(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run(click.Command("nothing", callback=lambda: None), "test", [])
    assert caught.value.code == 0


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (UserError("choose another port"), "error: choose another port\n"),
        (UserError("two\nlines"), "error: two lines\n"),
        (RuleViolation("tx-nonce", "nonce 3"), "error: tx-nonce: nonce 3\n"),
    ],
)
def test_our_errors_are_one_line(
    capsys: pytest.CaptureFixture[str], error: Exception, line: str
) -> None:
    assert ends(capsys, error) == (1, line)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), click.Abort()])
def test_ctrl_c_is_quiet(capsys: pytest.CaptureFixture[str], error: BaseException) -> None:
    code, shown = ends(capsys, error)
    assert code == 130
    assert "Traceback" not in shown and "error" not in shown


def test_misuse_is_two(capsys: pytest.CaptureFixture[str]) -> None:
    code, shown = ends(capsys, click.UsageError("no such option"))
    assert code == 2 and "no such option" in shown


def test_a_bug_is_one_line_unless_asked_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("POUW_DEBUG", raising=False)
    code, shown = ends(capsys, ZeroDivisionError("division by zero"))
    assert code == 1
    assert shown.startswith("error: ZeroDivisionError: division by zero")
    assert shown.count("\n") == 1
    monkeypatch.setenv("POUW_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        ends(capsys, ZeroDivisionError("division by zero"))


def test_help_lists_all_groups_without_importing_them() -> None:
    script = (
        "import sys\nfrom pouw.cli.main import pouw\n"
        "pouw.main(['--help'], standalone_mode=False)\n"
        "sys.exit(any(name.startswith(('pouw.node', 'pouw.wallet', 'torch')) "
        "for name in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for name in COMMANDS:
        assert name in done.stdout


def test_an_unknown_group_is_misuse() -> None:
    result = CliRunner().invoke(pouw, ["nothing"])
    assert result.exit_code == 2
    assert "No such command 'nothing'" in result.output


def test_the_version_is_told() -> None:
    assert CliRunner().invoke(pouw, ["--version"]).output.startswith("pouw, version ")
