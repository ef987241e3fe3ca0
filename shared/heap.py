"""Zeroed memory for the vendor's compiler, so that its output holds no leftovers of the heap.

rknn-toolkit2 writes some structures without setting every byte, so an .rknn carries what the memory held
before: different in every run, and the converting machine's data in a shipped file. glibc can hand out zeroed
memory (`man mallopt`, M_PERTURB); that is switched on only while the compiler runs, because calibration
allocates most. The thread caches ignore M_PERTURB, and only the environment can switch them off, before the
process starts.
"""

import ctypes
import os
from contextlib import contextmanager
from functools import wraps
from typing import Any, Callable, Iterator

TUNABLE = "glibc.malloc.tcache_count=0"
M_PERTURB = -6
# new memory is filled with the complement of this byte
PERTURB_TO_ZERO = 0xFF
ENVIRONMENT = {"GLIBC_TUNABLES": TUNABLE}
"""The variables to set before a process in which `zeroed` shall work."""


def ready() -> bool:
    """Whether this process was started with `ENVIRONMENT`, on a C library that has mallopt."""
    tunables = os.environ.get("GLIBC_TUNABLES", "").split(":")
    return TUNABLE in tunables and hasattr(ctypes.CDLL(None), "mallopt")


@contextmanager
def zeroed() -> Iterator[None]:
    """All memory allocated inside comes zeroed, in every thread; without effect when not `ready()`."""
    if not ready():
        yield
        return
    libc = ctypes.CDLL(None)
    libc.mallopt(M_PERTURB, PERTURB_TO_ZERO)
    try:
        yield
    finally:
        libc.mallopt(M_PERTURB, 0)


def zero_during(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, run in zeroed memory."""

    @wraps(function)
    def in_zeroed_memory(*args: Any, **kwargs: Any) -> Any:
        with zeroed():
            return function(*args, **kwargs)

    return in_zeroed_memory
