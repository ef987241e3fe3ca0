"""Memory really comes zeroed, in a process that was started for it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from shared import heap

ROOT = Path(__file__).parents[2]
REUSED_MEMORY = """
import ctypes
from shared import heap
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
def reused(size):
    dirty = libc.malloc(size)
    ctypes.memset(dirty, 0xAA, size)
    libc.free(ctypes.c_void_p(dirty))
    return ctypes.string_at(libc.malloc(size), size)
sizes = [24, 100, 1000, 5000, 60000]
with heap.zeroed():
    inside = [reused(size) for size in sizes]
outside = [reused(size) for size in sizes]
print(heap.ready(), not any(map(any, inside)), all(map(any, outside)))
"""


def run(variables: dict[str, str]) -> list[str]:
    environment = {key: value for key, value in os.environ.items() if key != "GLIBC_TUNABLES"}
    command = [sys.executable, "-c", REUSED_MEMORY]
    output = subprocess.check_output(command, cwd=ROOT, env={**environment, **variables}, text=True)
    return output.split()


@pytest.mark.skipif(sys.platform != "linux", reason="needs the GNU C library")
def test_memory_is_zeroed_inside_only() -> None:
    assert run(heap.ENVIRONMENT) == ["True", "True", "True"]


@pytest.mark.skipif(sys.platform != "linux", reason="needs the GNU C library")
def test_without_the_environment_it_is_not_ready() -> None:
    assert run({}) == ["False", "False", "True"]


def test_a_wrapped_function_keeps_its_name_and_result() -> None:
    wrapped = heap.zero_during(max)
    assert (wrapped.__name__, wrapped(1, 2)) == ("max", 2)
