"""The tensors in a pickle that PyTorch wrote, told from its steps: nothing is loaded, imported or called."""

import pickletools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_MARK = object()
_DTYPES = {
    **{"Float": "float32", "Double": "float64", "Half": "float16", "BFloat16": "bfloat16", "Long": "int64"},
    **{"Int": "int32", "Short": "int16", "Char": "int8", "Byte": "uint8", "Bool": "bool"},
}


class Malformed(ValueError):
    """The bytes are no pickle of PyTorch's."""


@dataclass(frozen=True)
class Tensor:
    """A tensor as its pickle tells of it."""

    storage: str
    """Key of what holds its numbers; several tensors may share one."""
    size: int
    """Numbers in the storage."""
    shape: tuple[int, ...]
    dtype: str
    """numpy's name."""


@dataclass(frozen=True)
class _Storage:
    kind: str
    key: str
    size: int


def tensors(data: bytes) -> tuple[Tensor, ...]:
    """The tensors of a pickle in the order in which they are made. Raises Malformed."""
    stack: list[Any] = []
    memo: dict[Any, Any] = {}
    found: list[Tensor] = []
    try:
        for opcode, argument, _ in _steps(data):
            name, taken = opcode.name, _take(stack, opcode.stack_before)
            if name.endswith("PUT") or name == "MEMOIZE":
                stack += taken
                memo[len(memo) if argument is None else argument] = stack[-1]
            elif name.endswith("GET"):
                stack.append(memo[argument])
            elif name.startswith("TUPLE") or name == "EMPTY_TUPLE":
                stack.append(tuple(taken))
            elif name == "MARK":
                stack.append(_MARK)
            elif name == "BINPERSID":
                _, kind, key, _, size = taken[0]
                stack.append(_Storage(str(kind), str(key), int(size)))
            elif name == "REDUCE":
                found += _made(*taken)
                stack.append(None)
            else:
                stack += [argument if argument is not None else None] * len(opcode.stack_after)
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise Malformed("it is no pickle of PyTorch's") from error
    return tuple(found)


def _steps(data: bytes) -> Iterator[tuple[pickletools.OpcodeInfo, Any, int | None]]:
    try:
        yield from pickletools.genops(data)
    except Exception as error:  # of many kinds, by where the bytes mislead it
        raise Malformed("it is cut short or damaged") from error


def _take(stack: list[Any], before: list[Any]) -> list[Any]:
    """What a step takes from the stack, the mark left out."""
    taken: list[Any] = []
    if pickletools.markobject in before:
        while stack[-1] is not _MARK:
            taken.insert(0, stack.pop())
        stack.pop()
        before = before[: before.index(pickletools.markobject)]
    for _ in before:
        taken.insert(0, stack.pop())
    return taken


def _made(function: Any, arguments: Any) -> Iterator[Tensor]:
    if str(function).startswith("torch._utils _rebuild_tensor") and isinstance(arguments[0], _Storage):
        storage, shape = arguments[0], arguments[2]
        dtype = _DTYPES.get(storage.kind.removeprefix("torch ").removesuffix("Storage"), "float32")
        yield Tensor(storage.key, storage.size, tuple(map(int, shape)), dtype)
