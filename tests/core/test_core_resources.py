"""The defaults for memory and threads: the arithmetic, and the limits of control groups."""

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
def test_a_size_is_parsed(text: str, bytes_: int) -> None:
    assert parse_size(text) == bytes_


@pytest.mark.parametrize("text", ["", "2", "GB", "-1GB", "2 gigabytes", "80%", "1e9", "\u0661GB"])
def test_text_that_is_not_a_size_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a size\. Examples: 512MB, 2GB, 1\.5GiB\."):
        parse_size(text)


def test_a_size_below_the_minimum_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"'1MB' is too small\. The minimum is 128MiB\."):
        parse_size("1MB")


def test_an_engine_gets_a_share_of_the_smallest_limit() -> None:
    assert default_memory(64 * GB, [8 * GB, 2 * GB]) == int(1.2 * GB)
    assert default_memory(7 * GB, []) == int(4.2 * GB)
    assert default_memory(50 << 20, []) == 128 << 20


def test_the_number_of_threads_is_limited_by_memory() -> None:
    assert max_threads(64, 1 << 30) == 4
    assert max_threads(2, 8 << 30) == 2
    assert max_threads(8, 128 << 20) == 1


def write_files(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="ascii")
    return root


def test_the_limit_of_any_control_group_around_the_process_counts(tmp_path: Path) -> None:
    root = write_files(
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


def test_limits_of_cgroup_v1_at_the_mount_point_count(tmp_path: Path) -> None:
    root = write_files(
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


def test_without_control_groups_the_machine_is_the_limit(tmp_path: Path) -> None:
    assert memory_limit(ResourceLimits(), root=tmp_path) >= 128 << 20
    assert memory_limit(ResourceLimits(memory=223_000_000), root=tmp_path) == 223_000_000
