"""A team whose CI runs on machines that live for one run: only git and a bucket remain."""

import os
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from itertools import count
from pathlib import Path

from tests.e2e.outside_service import ACCOUNT, PASSCODE, OutsideService
from tests.e2e.workshop import PATIENCE, SEGCTL, Ran, segment
from tests.sources.buckets_kit import Store

LEASE_SECONDS = 10
"""The shortest lease that segctl.yaml allows."""


class Team:
    """A repository, a bucket's folder and the service."""

    def __init__(self, folder: Path, service: OutsideService, bucket: Store, prefix: str) -> None:
        self.service = service
        self.bucket = bucket
        self._folder = folder
        self._numbers = count(1)
        self._origin = folder / "origin.git"
        _git(folder, "init", "-q", "--bare", "-b", "main", str(self._origin))
        self._desk = self.clone()
        project = (
            "apiVersion: segctl/v1\nkind: Project\nmetadata: {name: team}\nspec:\n"
            "  provider: {settleSeconds: 0}\n"
            "  guards: {maxRemovePercent: 100, allowEmpty: true, maxDestroys: 10}\n"
            f"  state: {{backend: objectStore, url: 's3://segctl-members/{prefix}', "
            f"leaseSeconds: {LEASE_SECONDS}}}\n"
        )
        (self._desk / "segctl.yaml").write_text(project, encoding="utf-8")

    def declare(self, wanted: Mapping[str, list[str]]) -> None:
        """Commit and push manifests that declare these members."""
        _git(self._desk, "pull", "-q", "--rebase", "origin", "main", check=False)
        manifests = "---\n".join(segment(name, *members) for name, members in wanted.items())
        (self._desk / "segments.yaml").write_text(manifests, encoding="utf-8")
        self._push(self._desk, "segctl.yaml", "segments.yaml")

    def clone(self) -> Path:
        """Return a fresh checkout."""
        checkout = self._folder / f"machine-{next(self._numbers)}" / "checkout"
        checkout.parent.mkdir()
        _git(self._folder, "clone", "-q", str(self._origin), str(checkout))
        return checkout

    def start(self, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
        """Start segctl on a machine of its own."""
        return self.start_in(self.clone(), *arguments, **environment)

    def start_in(
        self, checkout: Path, *arguments: str, **environment: str
    ) -> "subprocess.Popen[str]":
        """Start segctl in this checkout, with an empty home."""
        home = checkout.parent / "home"
        home.mkdir(exist_ok=True)
        keep = {k: os.environ[k] for k in ("PATH", "PYTHONPATH", "LANG") if k in os.environ}
        coverage = {k: v for k, v in os.environ.items() if k.startswith("COV")}
        return subprocess.Popen(
            [SEGCTL, *arguments],
            cwd=checkout,
            env={
                **keep,
                **coverage,
                "HOME": str(home),
                "TMPDIR": str(checkout.parent),
                "CLEVERTAP_ACCOUNT_ID": ACCOUNT,
                "CLEVERTAP_PASSCODE": PASSCODE,
                "CLEVERTAP_BASE_URL": self.service.url,
                **self.bucket.environment,
                **environment,
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, **environment: str) -> Ran:
        """Run segctl on a fresh machine. If it succeeds, commit what it wrote for git."""
        checkout = self.clone()
        with self.start_in(checkout, *arguments, **environment) as process:
            out, err = process.communicate(timeout=2 * PATIENCE)
        if process.returncode == 0 and (checkout / "segctl.lock.yaml").exists():
            self._push(checkout, "segctl.lock.yaml")
        return Ran(process.returncode, out, err)

    def _push(self, checkout: Path, *files: str) -> None:
        _git(checkout, "add", *files)
        with suppress(subprocess.CalledProcessError):  # nothing changed
            _git(checkout, "commit", "-q", "-m", "change")
            _git(checkout, "push", "-q", "origin", "HEAD:main")


def _git(folder: Path, *arguments: str, check: bool = True) -> None:
    identity = ["-c", "user.name=team", "-c", "user.email=team@example.com"]
    subprocess.run(
        ["git", *identity, *arguments], cwd=folder, check=check, capture_output=True, timeout=60
    )
