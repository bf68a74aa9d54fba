"""Spellings that users of other programs type: said what to type instead, never guessed."""

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from segctl.cli.main import execute

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run one command line, and return its exit code and what it printed."""

    def run_line(line: str | Sequence[str]) -> tuple[int, str, str]:
        code = execute(shlex.split(line) if isinstance(line, str) else line)
        return code, *capsys.readouterr()

    return run_line


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("plan -out=x", "plan --out=x"),
        ("plan -out 'my plan' -target=gold", "plan --out 'my plan' --target=gold"),
        ("-chdir=ws plan -detailed-exitcode", "--chdir=ws plan --detailed-exitcode"),
        ("apply -auto-approve -json", "apply --auto-approve --json"),
        ("plan -destroy -env=prod", "plan --destroy --env=prod"),
        ("plan -var a=b --out -x", "plan --var a=b --out -x"),
        ("state list -json", "state list --json"),
        ("-version", "--version"),
        ("members -of=a@b.c gold", "members --of=KEY gold"),
        ("members --of a@b.c -json", "members --of KEY --json"),
    ],
)
def test_one_dash_is_answered_with_the_command_with_two(run: Run, typed: str, meant: str) -> None:
    code, out, err = run(typed)
    assert (code, f"  Type: segctl {meant}\n" in err) == (64, True)
    assert "a@b.c" not in out + err


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("plan -refresh=false", "segctl has no -refresh. CleverTap cannot be read back"),
        ("apply --parallelism 3", "segctl has no --parallelism. spec.provider.concurrency"),
        ("plan -lock=false -out=x", "--lock-timeout waits for the lock"),
        ("init -upgrade", "segctl downloads no providers"),
        ("plan -replace=gold", "A new customerSegmentId"),
        ("show -state=x", "spec.state in segctl.yaml"),
        ("validate -exclude=gold", "`segctl validate` has no -exclude"),
        ("validate --target x", "`segctl validate` has no --target; `segctl plan`"),
        ("apply --destroy", "`segctl plan` and `segctl comment` have it."),
        ("--json version", "stands after it: `segctl COMMAND --json`"),
        ("plan -taget=x", '`segctl plan` has no -taget. Did you mean "--target"?'),
        ("plan -xyzzy", "`segctl plan --help` lists its options."),
    ],
)
def test_an_option_that_segctl_does_not_have_says_what_to_do(
    run: Run, typed: str, told: str
) -> None:
    code, _, err = run(typed)
    assert (code, told in err, "Type:" in err) == (64, True, False)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("taint", "segctl rejects retry"),
        ("refresh", "segctl plan"),
        ("console", "segctl members"),
        ("workspace", "-e NAME"),
        ("output", "segctl show --json"),
        ("providers", "spec.provider"),
        ("login", "CLEVERTAP_ACCOUNT_ID"),
        ("test", "segctl validate"),
        ("vlidate", "Did you mean 'validate'?"),
    ],
)
def test_an_unknown_command_says_what_to_do(run: Run, name: str, told: str) -> None:
    code, _, err = run(name)
    assert (code, told in err) == (64, True)


def test_what_follows_two_dashes_or_is_a_value_is_no_option(run: Run, tmp_path: Path) -> None:
    folder = str(tmp_path)
    assert "there is no segctl.yaml" in run(["plan", "--out", "-out=x", "-C", folder])[2]
    assert "-out=x" in run(["show", "-C", folder, "--", "-out=x"])[2]


@pytest.mark.parametrize("line", ["-C a -C b validate", "-C a validate -C b", "validate -Ca -Cb"])
def test_a_second_folder_is_relative_to_the_first(
    run: Run, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(["init", str(tmp_path / "a/b")])
    monkeypatch.chdir(tmp_path)
    assert run(line)[0] == 0


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("-C '' plan", "it is empty. Is a shell variable not set?"),
        ("-C nowhere plan", "Directory 'nowhere' does not exist."),
        ("-C segctl.yaml plan", "Directory 'segctl.yaml' is a file."),
        ("-e a plan -e b", "'a' and 'b' differ; choose one."),
        ("-e '' plan", "it is empty. Is a shell variable not set?"),
    ],
)
def test_a_wrong_option_before_the_command_is_reported(
    run: Run, line: str, told: str, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workspace)
    code, _, err = run(line)
    assert (code, told in err) == (64, True)


def test_options_before_the_command_count(run: Run, workspace: Path) -> None:
    code, out, err = run(["-C", str(workspace), "--log-level", "debug", "validate", "--json"])
    assert (code, out.lstrip()[:1], "DEBUG" in err) == (0, "{", True)


def test_an_error_is_json_if_options_stand_before_the_command(run: Run, workspace: Path) -> None:
    code, out, _ = run(["-C", str(workspace), "plan", "--json", "-out=x"])
    assert (code, out.lstrip()[:1]) == (64, "{")


@pytest.mark.parametrize("words", ["", "plan", "state", "state mv"])
def test_help_prints_what_the_option_prints(run: Run, words: str) -> None:
    assert run(f"help {words}") == run(f"{words} --help")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("help pln", "Did you mean 'plan'?"),
        ("help plan x", "`segctl plan` has no commands"),
        ("help taint", "There is no command taint."),
    ],
)
def test_help_of_what_does_not_exist_is_wrong_usage(run: Run, line: str, told: str) -> None:
    code, _, err = run(line)
    assert (code, told in err) == (64, True)
