"""A stand-in for PyTorch: rknn-toolkit2 always imports torch, but needs it for some graphs only.

It has what that import touches and nothing else. Whatever else is asked for is recorded, said on stderr
and refused. The harness asks `rkforge_touched()` after a build and throws a touched build away (fault
`torch-needed`), because the toolkit may have caught the refusal and gone on differently.
"""

import functools
import sys
import types
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])

_touched: dict[str, None] = {}


def rkforge_touched() -> list[str]:
    """What was asked for and is not here, in order, each name once: ["torch.arange", ...]."""
    return list(_touched)


def _record(name: str) -> None:
    if name not in _touched:
        _touched[name] = None
        print(f"torch-needed: {name}", file=sys.stderr, flush=True)


def _missing(owner: str, name: str) -> NoReturn:
    # Python and its tools probe any object for names like __wrapped__: that is no use of torch
    if not name.startswith("__") or name == "__version__":
        _record(f"{owner}.{name}")
    raise AttributeError(f"{owner} has no attribute {name!r}: PyTorch is not in this environment")


class _Untouchable(type):
    """A class that may be inherited from and asked about; any use of it is recorded and refused."""

    def __getattr__(cls, name: str) -> NoReturn:
        _missing(f"torch.{cls.__name__}", name)

    def __call__(cls, *_args: Any, **_options: Any) -> NoReturn:
        _record(f"torch.{cls.__name__}()")
        raise RuntimeError("PyTorch is not in this environment")


class Tensor(metaclass=_Untouchable):
    """Only for isinstance: SciPy looks for tensors in its arguments when anything called torch is loaded."""


class Module(metaclass=_Untouchable):
    """torch.nn.Module: the toolkit's classes inherit from it."""


class no_grad:
    """Where there are no tensors there are no gradients to switch off: this is all of it."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_error: object) -> None:
        return None

    def __call__(self, function: Function) -> Function:
        return function


class _Recorder:
    """Asked last for a module that nobody has found: records the parts of torch among them."""

    def find_spec(self, name: str, *_: object) -> None:
        """See importlib.abc.MetaPathFinder."""
        if name.startswith("torch."):
            _record(name)


__path__: list[str] = []  # a package, so that _Recorder is asked for its modules
__getattr__ = functools.partial(_missing, "torch")
nn = types.ModuleType("torch.nn")
vars(nn).update(__path__=[], Module=Module, __getattr__=functools.partial(_missing, "torch.nn"))
sys.modules["torch.nn"] = nn
sys.meta_path.append(_Recorder())
