"""Runners of GitHub and GitLab, as small as the kits need: each job on a new machine.

They read the YAML, decide which jobs run, and run each ``run:`` or ``script:`` with bash in a clone
of its own, with the variables that the real runner sets. Only two things are not real: the actions
of others, and what ``pip install`` downloads, which is the segctl of this checkout.
"""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.program import CODE

ROOT = Path(__file__).parents[2]
ACTION = ROOT / "action.yml"
WORKFLOW = ROOT / "templates/github/segments.yml"
PIPELINE = ROOT / "templates/gitlab-ci.yml"

_PYTHON = """\
#!/bin/sh
# Makes a real environment without pip, whose pip notes what it is asked for and installs segctl.
set -e
{real} "$@" --without-pip
for home; do :; done
rm "$home/bin/python"
cat > "$home/bin/python" <<'END'
#!/bin/sh
echo "$PIP_CONSTRAINT $*" >> {log}
printf '#!/bin/sh\\nexec {real} -P -c {code} "$@"\\n' > "$(dirname "$0")/segctl"
chmod 755 "$(dirname "$0")/segctl"
END
chmod 755 "$home/bin/python"
"""
_KEPT = ("PYTHONPATH", "HOME", "LANG", "COVERAGE_PROCESS_START")


@dataclass(kw_only=True)
class JobResult:
    """What one job left. ``code`` is ``None`` if its conditions kept it from running."""

    code: int | None = None
    log: str = ""
    summary: str = ""
    outputs: dict[str, str] = field(default_factory=dict)
    folder: Path = Path()


def load_yaml(path: Path) -> Any:
    """Return a YAML file, in which ``on`` is a word."""
    text = re.sub(r"^on:", '"on":', path.read_text(), flags=re.MULTILINE)
    return yaml.safe_load(text)


def git(folder: Path, *arguments: str) -> str:
    """Run git in a folder and return what it prints."""
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.com")
    done = subprocess.run(
        ["git", *identity, "-C", str(folder), *arguments],
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


class Machine:
    """A new machine: a folder for the job, a ``python3`` that needs no network, and a log."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self.checkout = folder / "work"
        self.installed = folder / "pip.log"
        programs = folder / "programs"
        programs.mkdir(parents=True)
        words = {
            "real": sys.executable,
            "code": shlex.quote(CODE).replace("'", '"'),
            "log": self.installed,
        }
        (programs / "python3").write_text(_PYTHON.format(**words))
        (programs / "python3").chmod(0o755)
        kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
        self.environment = {
            **kept,
            "PATH": f"{programs}:{os.environ['PATH']}",
            "SEGCTL_CACHE_DIR": str(folder / "cache"),
            **environment,
        }
        self.log = ""

    def clone(self, remote: Path, commit: str, *, branches: bool) -> None:
        """Check out a commit, with the branches of the remote only if they are wanted."""
        self.checkout.mkdir()
        git(self.checkout, "init", "--quiet")
        git(self.checkout, "remote", "add", "origin", str(remote))
        wanted = ["+refs/heads/*:refs/remotes/origin/*"] if branches else []
        git(self.checkout, "fetch", "--quiet", "origin", commit, *wanted)
        git(self.checkout, "checkout", "--quiet", "--detach", commit)

    def bash(self, script: str, environment: Mapping[str, str]) -> int:
        """Run a script as both forges do, in the checkout, and return its exit code."""
        file = self.folder / "script.sh"
        file.write_text(script)
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(file)],
            cwd=self.checkout,
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        self.log += done.stdout
        return done.returncode


_TOKEN = re.compile(r"\s*(==|!=|&&|\|\||'(?:[^']|'')*'|[\w.-]+|[()])")
_WORDS = {"==": "==", "!=": "!=", "&&": "and", "||": "or", "(": "(", ")": ")"}


def evaluate(expression: str, context: Mapping[str, Any]) -> Any:
    """Return the value of an expression of GitHub: names, strings, ``==``, ``!=``, ``&&``, ``||``.

    A name that is not there is the empty string.
    """
    words, end = [], 0
    values: list[Any] = []
    while end < len(expression.rstrip()):
        found = _TOKEN.match(expression, end)
        assert found, expression
        token, end = found[1], found.end()
        if token in _WORDS:
            words.append(_WORDS[token])
            continue
        value: Any = token[1:-1] if token.startswith("'") else context
        for name in () if token.startswith("'") else token.split("."):
            value = value.get(name, "") if isinstance(value, Mapping) else ""
        words.append(f"values[{len(values)}]")
        values.append(value)
    return eval(" ".join(words), {"values": values})  # noqa: S307 - words of the table only


def fill(text: Any, context: Mapping[str, Any]) -> str:
    """Return a value with its ``${{ }}`` replaced."""

    def replaced(found: re.Match[str]) -> str:
        return str(evaluate(found[1], context))

    return re.sub(r"\$\{\{(.*?)\}\}", replaced, str(text)).strip()


class GitHubRunner:
    """Runs jobs of the workflow and steps of the action."""

    def __init__(self, remote: Path, folder: Path, bucket: Mapping[str, str]) -> None:
        self.remote = remote
        self.folder = folder
        self.bucket = bucket
        self.number = 0
        self.workflow = load_yaml(WORKFLOW)
        self.action = load_yaml(ACTION)

    def run(
        self,
        job: str,
        environment: Mapping[str, str],
        event: Mapping[str, Any],
        *,
        secrets: Mapping[str, str],
    ) -> JobResult:
        """Run one job for an event, if its condition holds."""
        self.number += 1
        declared = self.workflow["jobs"][job]
        github = {
            "event_name": environment["GITHUB_EVENT_NAME"],
            "event": event,
            "repository": environment["GITHUB_REPOSITORY"],
            "token": environment.get("GITHUB_TOKEN", ""),
        }
        context = {"github": github, "secrets": secrets}
        if not evaluate(declared["if"], context):
            return JobResult()
        folder = self.folder / f"machine-{self.number}"
        machine = Machine(folder, {n: v for n, v in environment.items() if n != "GITHUB_TOKEN"})
        file = folder / "event.json"
        file.write_text(json.dumps(event))
        temp = folder / "temp"
        temp.mkdir()
        machine.environment |= {
            "GITHUB_EVENT_PATH": str(file),
            "GITHUB_ACTION_PATH": str(ROOT),
            "GITHUB_WORKSPACE": str(machine.checkout),
            "RUNNER_TEMP": str(temp),
            "CI": "true",
        }
        result = JobResult(code=0, folder=folder)
        for step in declared["steps"]:
            self._step(machine, step, context, result, environment["GITHUB_SHA"])
        result.log = machine.log
        return result

    def _step(
        self, machine: Machine, step: Any, context: Mapping[str, Any], result: JobResult, sha: str
    ) -> None:
        if result.code:
            return
        name, given = step["uses"].partition("@")[0], step.get("with", {})
        match name:
            case "actions/checkout":
                assert given["persist-credentials"] is False
                machine.clone(self.remote, sha, branches=given.get("fetch-depth") == 0)
            case "aws-actions/configure-aws-credentials":
                machine.environment |= self.bucket
            case "acme/segctl":
                environment = {n: fill(v, context) for n, v in step.get("env", {}).items()}
                self._action(machine, given, environment, context, result)
            case _:
                raise AssertionError(name)

    def _action(
        self,
        machine: Machine,
        given: Mapping[str, Any],
        environment: Mapping[str, str],
        context: Mapping[str, Any],
        result: JobResult,
    ) -> None:
        declared = self.action["inputs"]
        assert set(given) <= set(declared)
        inputs = {
            name: fill(given.get(name, value.get("default", "")), context)
            for name, value in declared.items()
        }
        steps: dict[str, Any] = {}
        inside: dict[str, Any] = {**context, "inputs": inputs, "steps": steps}
        for number, step in enumerate(self.action["runs"]["steps"]):
            if result.code or not evaluate(step.get("if", "'yes'"), inside):
                continue
            files = {
                name: machine.folder / f"{name.lower()}-{number}"
                for name in ("GITHUB_OUTPUT", "GITHUB_PATH", "GITHUB_STEP_SUMMARY")
            }
            for file in files.values():
                file.touch()
            own = {name: fill(value, inside) for name, value in step.get("env", {}).items()}
            result.code = machine.bash(
                step["run"], {**environment, **own, **{n: str(f) for n, f in files.items()}}
            )
            lines = files["GITHUB_OUTPUT"].read_text().splitlines()
            outputs = dict(line.split("=", 1) for line in lines)
            steps[step.get("id", str(number))] = {"outputs": outputs}
            for line in files["GITHUB_PATH"].read_text().splitlines():
                machine.environment["PATH"] = f"{line}:{machine.environment['PATH']}"
            result.summary += files["GITHUB_STEP_SUMMARY"].read_text()
        result.outputs = {
            name: fill(value["value"], inside) for name, value in self.action["outputs"].items()
        }


class GitLabRunner:
    """Runs jobs of the pipeline."""

    def __init__(self, remote: Path, folder: Path, bucket: Mapping[str, str]) -> None:
        self.remote = remote
        self.folder = folder
        self.bucket = bucket
        self.number = 0
        self.pipeline = load_yaml(PIPELINE)

    def run(
        self, job: str, environment: Mapping[str, str], *, variables: Mapping[str, str]
    ) -> JobResult:
        """Run one job of a pipeline, if one of its rules holds."""
        self.number += 1
        declared = {**self.pipeline[".segctl"], **self.pipeline[job]}
        predefined = {"CI_DEFAULT_BRANCH": "main", **environment}
        if not any(self._holds(rule["if"], predefined) for rule in declared["rules"]):
            return JobResult()
        folder = self.folder / f"machine-{self.number}"
        machine = Machine(folder, {**self.bucket, **predefined, **variables})
        machine.clone(self.remote, environment["CI_COMMIT_SHA"], branches=False)
        own = {**self.pipeline["variables"], **declared.get("variables", {})}
        machine.environment |= {**own, "CI_PROJECT_DIR": str(machine.checkout)}
        lines = [*declared["before_script"], *declared["script"]]
        script = "\n".join(lines).replace("/tmp/segctl", str(folder / "segctl"))  # noqa: S108
        code = machine.bash(script, {})
        return JobResult(code=code, log=machine.log, folder=folder)

    @staticmethod
    def _holds(rule: str, variables: Mapping[str, str]) -> bool:
        found = re.sub(r"\$(\w+)", r"variables.\1", rule).replace('"', "'")
        return bool(evaluate(found, {"variables": variables}))
