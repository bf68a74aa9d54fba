"""How much room a run takes where nobody says: arithmetic, and what the kernel's files tell."""

from pathlib import Path

import pytest

from segctl.core.resources import (
    ResourceLimits,
    default_memory,
    max_threads,
    memory_limit,
    parse_size,
    thread_count,
)

GB = 10**9


@pytest.mark.parametrize(
    ("text", "bytes_"),
    [
        ("2GB", 2 * GB),
        ("2g", 2 * GB),
        ("512MiB", 512 << 20),
        ("512 Mi", 512 << 20),
        ("1.5GiB", 3 << 29),
        ("200000KB", 200_000_000),
        ("1TB", 1000 * GB),
    ],
)
def test_a_size_is_read(text: str, bytes_: int) -> None:
    assert parse_size(text) == bytes_


@pytest.mark.parametrize("text", ["", "2", "GB", "-1GB", "2 gigabytes", "80%", "1e9", "\u0661GB"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no size; write 512MB, 2GB or 1\.5GiB\."):
        parse_size(text)


def test_too_little_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'1MB' is too little: the least is 128MiB\."):
        parse_size("1MB")


def test_an_engine_takes_a_share_of_the_narrowest_limit() -> None:
    assert default_memory(64 * GB, [8 * GB, 2 * GB]) == int(1.2 * GB)
    assert default_memory(7 * GB, []) == int(4.2 * GB)
    assert default_memory(50 << 20, []) == 128 << 20


def test_threads_are_as_many_as_memory_is_enough_for() -> None:
    assert max_threads(64, 1 << 30) == 4
    assert max_threads(2, 8 << 30) == 2
    assert max_threads(8, 128 << 20) == 1


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="ascii")
    return root


def test_the_limit_of_any_control_group_around_the_process_counts(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            "proc/self/cgroup": "0::/ci/job\n",
            "sys/fs/cgroup/ci/job/memory.max": "max\n",
            "sys/fs/cgroup/ci/memory.max": "500000000\n",
            "sys/fs/cgroup/ci/cpu.max": "100000 100000\n",
        },
    )
    assert memory_limit(ResourceLimits(), root=root) == 300_000_000
    assert thread_count(8 << 30, root=root) == 1


def test_older_control_groups_count_too_and_in_a_container_they_stand_at_the_mount(
    tmp_path: Path,
) -> None:
    root = write(
        tmp_path,
        {
            "proc/self/cgroup": "5:cpu,cpuacct:/docker/1\n4:memory:/docker/1\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "500000000\n",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "50000\n",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
        },
    )
    assert memory_limit(ResourceLimits(), root=root) == 300_000_000
    assert thread_count(8 << 30, root=root) == 1


def test_a_machine_without_control_groups_gives_a_share_of_what_it_has(tmp_path: Path) -> None:
    assert memory_limit(ResourceLimits(), root=tmp_path) >= 128 << 20
    assert memory_limit(ResourceLimits(memory=223_000_000), root=tmp_path) == 223_000_000
