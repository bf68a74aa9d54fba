"""The contenders: segctl, the limit, and other tools that people reconcile with.

Each is a program that starts for every run, reads recorded and desired members, and prints
how many to add and to remove.  The answer is checked against the known one.
"""

import json
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import machine
from benchmarks.job import Job
from benchmarks.measuring import HOUR, SEGCTL, BenchmarkFailed, Run, measure
from benchmarks.workspaces import forget_recorded

TERRAFORM_ENVIRONMENT = {
    "CHECKPOINT_DISABLE": "1",
    "TF_CLI_CONFIG_FILE": os.devnull,
    "TF_IN_AUTOMATION": "1",
}

Answer = tuple[int, int]
"""The number of members to add and to remove."""


@dataclass(frozen=True, kw_only=True)
class Contender:
    """``prepare`` writes the input before the clock starts; ``command`` is measured.

    ``reset`` undoes what ``command`` did, before each run.
    """

    name: str
    command: Callable[[Job], list[str | Path]]
    answer: Callable[[str], Answer | None]
    prepare: Callable[[Job], None] | None = None
    reset: Callable[[Job], None] | None = None
    cwd: Callable[[Job], Path] | None = None
    environment: dict[str, str] = field(default_factory=dict)

    def run(self, job: Job, *, longest: float = HOUR) -> Run:
        """Measure one run; raises ``BenchmarkFailed`` for a wrong answer."""
        if self.reset:
            self.reset(job)
        run = measure(
            self.command(job),
            cwd=self.cwd(job) if self.cwd else None,
            environment=self.environment,
            longest=longest,
        )
        if not run.capped and self.answer(run.output) != (job.to_add, job.changed):
            raise BenchmarkFailed(
                f"{self.name} finds {self.answer(run.output)}, not {job.to_add:,} to add and "
                f"{job.changed:,} to remove:\n{run.output[-2000:]}"
            )
        return run


def _plan(job: Job) -> list[str | Path]:
    saved = job.folder / "benchmark.plan"
    limit = ["--memory-limit", job.memory_limit] if job.memory_limit else []
    return [SEGCTL, "plan", "-C", job.workspace, "--format", "json", "--out", saved, *limit]


def _planned(output: str) -> Answer:
    document, _ = json.JSONDecoder().raw_decode(output)
    summary = document["summary"]
    return summary["members_add"], summary["members_remove"]


def _join(job: Job) -> list[str | Path]:
    parted = job.arrangement == "segments"
    sides = [job.part(side, "*") if parted else side for side in (job.recorded, job.desired)]
    module = "benchmarks.peers.bare_duckdb"
    threads = ["--threads", str(os.cpu_count())]
    parts = ["--segments"] if job.parted else []
    limit = ["--memory-limit", job.memory_limit] if job.memory_limit else []
    out = job.folder / "bare.parquet"
    return [sys.executable, "-m", module, *sides, out, *threads, *parts, *limit]


def _counted(output: str) -> Answer | None:
    found = re.search(r"^add (\d+) remove (\d+)$", output, re.MULTILINE)
    return (int(found[1]), int(found[2])) if found else None


def _octodns(output: str) -> Answer | None:
    if "No changes were planned" in output:
        return 0, 0
    found = re.search(r"Summary: Creates=(\d+), Updates=0, Deletes=(\d+)", output)
    return (int(found[1]), int(found[2])) if found else None


def _terraform_each(output: str) -> Answer | None:
    found = re.search(r"^Plan: (\d+) to add, 0 to change, (\d+) to destroy", output, re.MULTILINE)
    return (int(found[1]), int(found[2])) if found else None


def _terraform_map(output: str) -> Answer:
    # Within `input`; `output` follows from it, and the plan shows it as unknown.
    found = re.search(r"^ +~ input .*?^ +\}", output, re.MULTILINE | re.DOTALL)
    lines = re.findall(r'^ +([+-]) "', found[0], re.MULTILINE) if found else []
    return lines.count("+"), lines.count("-")


def _import(job: Job) -> list[str | Path]:
    limit = ["--memory-limit", job.memory_limit] if job.memory_limit else []
    segment = f"segment.{job.names()[0]}"
    return [SEGCTL, "import", segment, "--members", job.desired, "-C", job.workspace, *limit]


def _imported(output: str) -> Answer | None:
    found = re.search(r"([\d,]+) members", output)
    return (int(found[1].replace(",", "")), 0) if found else None


def _sort(job: Job) -> list[str | Path]:
    module = "benchmarks.peers.bare_sort"
    limit = ["--memory-limit", job.memory_limit] if job.memory_limit else []
    out = job.folder / "sorted.parquet"
    return [
        sys.executable,
        "-m",
        module,
        job.desired,
        out,
        "--threads",
        str(os.cpu_count()),
        *limit,
    ]


def _script(name: str, *more: Callable[[Job], str | Path]) -> Callable[[Job], list[str | Path]]:
    def command(job: Job) -> list[str | Path]:
        module = f"benchmarks.peers.{name}"
        after = [each(job) for each in more]
        return [sys.executable, "-m", module, job.recorded, job.desired, *after]

    return command


def _terraform(how: str, answer: Callable[[str], Answer | None]) -> Contender:
    def folder(job: Job) -> Path:
        return job.folder / f"terraform-{how}"

    def prepare(job: Job) -> None:
        module = "benchmarks.peers.terraform_workspace"
        measure([sys.executable, "-m", module, how, folder(job), job.recorded, job.desired])
        measure(
            [machine.find_terraform() or "terraform", "init", "-input=false"],
            cwd=folder(job),
            environment=TERRAFORM_ENVIRONMENT,
        )

    def command(job: Job) -> list[str | Path]:
        del job
        options = ["-refresh=false", "-input=false", "-no-color", "-lock=false", "-out=saved"]
        return [machine.find_terraform() or "terraform", "plan", *options]

    return Contender(
        name=f"Terraform, {'a resource a member' if how == 'each' else 'one resource'}",
        prepare=prepare,
        command=command,
        cwd=folder,
        environment=TERRAFORM_ENVIRONMENT,
        answer=answer,
    )


def _zones(job: Job) -> None:
    module = "benchmarks.peers.octodns_zone"
    measure([sys.executable, "-m", module, job.folder / "octodns", job.recorded, job.desired])


SEGCTL_PLAN = Contender(name="segctl", command=_plan, answer=_planned)
BARE_DUCKDB = Contender(name="bare DuckDB", command=_join, answer=_counted)
SEGCTL_IMPORT = Contender(name="segctl", command=_import, reset=forget_recorded, answer=_imported)
BARE_SORT = Contender(name="bare DuckDB", command=_sort, answer=_counted)
PYTHON_SETS = Contender(
    name="Python sets",
    command=_script("python_sets", lambda job: job.folder / "sets.csv"),
    answer=_counted,
)
DEEPDIFF = Contender(name="deepdiff", command=_script("deepdiff_dicts"), answer=_counted)
OCTODNS = Contender(
    name="octoDNS",
    prepare=_zones,
    command=lambda _: [SEGCTL.with_name("octodns-sync"), "--config-file", "config.yaml"],
    cwd=lambda job: job.folder / "octodns",
    answer=_octodns,
)
TERRAFORM_EACH = _terraform("each", _terraform_each)
TERRAFORM_MAP = _terraform("map", _terraform_map)
