"""What a pickle would import and call, found by following its opcodes with symbols in place of values.

Listing the GLOBAL opcodes is not enough: names may be put together from strings on the stack
(STACK_GLOBAL), a dotted name walks through attributes (`torch.nn.modules.module:torch.os.system`), and what a
harmless class does when its constructor is called is another matter than its being named: ultralytics
evaluates a string of the configuration that its models are constructed with. So the stack and the memo are
followed as an unpickler would, and what cannot be followed is said to be so. Nothing is imported or run.
"""

import pickletools
from typing import IO, Any, Callable, Dict, List, NamedTuple, Optional

UNKNOWN = "?"
"""The beginning of what is said in place of a name when nobody can tell what a pickle would do."""
GETATTR = ("builtins.getattr", "__builtin__.getattr")
"""Followed like a name: checkpoints ask for methods of a class by it."""
MAX_OPCODES = 20000000
STRINGS = (
    "STRING",
    "BINSTRING",
    "SHORT_BINSTRING",
    "UNICODE",
    "BINUNICODE",
    "SHORT_BINUNICODE",
    "BINUNICODE8",
)
PUTS = ("PUT", "BINPUT", "LONG_BINPUT")
GETS = ("GET", "BINGET", "LONG_BINGET")
TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
"""Opcode -> how many values it takes."""
EXTENSIONS = ("EXT1", "EXT2", "EXT4")
CHANGES = {"BUILD": 1, "APPEND": 1, "SETITEM": 2}
"""Opcodes that change the object below so many arguments."""
CHANGES_TO_MARK = ("SETITEMS", "APPENDS", "ADDITEMS")
"""Those that change the object below a mark and any number of arguments."""


class Name(NamedTuple):
    """Something imported."""

    text: str


class Mark(NamedTuple):
    """What MARK puts on the stack."""


class _Undecidable(Exception):
    pass


class Scan:
    """Follows pickles and keeps what they name.

    Args:
        calls: whether a checkpoint may call what has this name; other calls are listed as "name()".
    """

    def __init__(self, calls: Callable[[str], bool]) -> None:
        self.names: Dict[str, None] = {}
        """In order, each once."""
        self._calls = calls
        self._stack: List[Any] = []  # Name, str, tuple, Mark, or None for any other value
        self._memo: Dict[int, Any] = {}

    def read(self, stream: IO[bytes]) -> bool:
        """Follow the next pickle of a stream up to its STOP; False when it cannot be followed."""
        self._stack, self._memo = [], {}
        try:
            for number, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
                if number > MAX_OPCODES:
                    raise _Undecidable("it has too many opcodes")
                if opcode.name in _STEPS:
                    _STEPS[opcode.name](self, argument)
                else:
                    self._other(opcode)
        except _Undecidable as error:
            self.unknown(str(error))
        except Exception:  # pickletools raises whatever its parsers meet
            self.unknown("it is damaged, or no pickle")
        else:
            return True
        return False

    def unknown(self, why: str) -> None:
        """Keep that something could not be found out."""
        self.names["%s (%s)" % (UNKNOWN, why)] = None

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _put(self, place: Any) -> None:
        self._memo[int(place)] = self._top()

    def _get(self, place: Any) -> None:
        if int(place) not in self._memo:
            raise _Undecidable("it asks for what it has not kept")
        self._push(self._memo[int(place)])

    def _global(self, argument: Any) -> Name:
        module, _, attribute = str(argument).partition(" ")
        return self._imported(module, attribute)

    def _stack_global(self) -> Name:
        attribute, module = self._pop(), self._pop()
        if not (isinstance(module, str) and isinstance(attribute, str)):
            raise _Undecidable("it computes a name")
        return self._imported(module, attribute)

    def _extension(self) -> None:
        raise _Undecidable("it uses the registry of extensions")

    def _reduce(self) -> None:
        arguments, called = self._pop(), self._pop()
        self._call(called, arguments)

    def _new_object(self) -> None:
        arguments, made = self._pop(), self._pop()
        if arguments == () and isinstance(made, Name) and made.text not in GETATTR:
            self._push(None)  # an empty instance: its constructor is not called
        else:
            self._call(made, arguments)

    def _new_object_by_keywords(self) -> None:
        self._pop()
        self._reduce()

    def _object(self) -> None:
        items = self._to_mark()
        if not items:
            raise _Undecidable("it calls nothing")
        self._call(items[0], items[1:])

    def _other(self, opcode: Any) -> None:
        """Whatever makes values out of values: what it takes and leaves is pickletools' knowledge."""
        takes = list(opcode.stack_before)
        if pickletools.markobject in takes:
            self._used(self._to_mark())
            takes = takes[: takes.index(pickletools.markobject)]
        self._used([self._pop() for _ in takes])
        self._stack.extend(None for _ in opcode.stack_after)

    def _change(self, arguments: List[Any]) -> None:
        self._used(arguments)
        changed = self._top()
        if isinstance(changed, Name):
            raise _Undecidable("it changes %s" % changed.text)

    def _imported(self, module: str, attribute: str) -> Name:
        if " " in attribute or not module or not attribute:
            raise _Undecidable("it names what cannot be a name")
        # a dotted name walks from the module through attributes: nothing that a prefix could tell of
        found = Name(module + (":" if "." in attribute else ".") + attribute)
        if found.text not in GETATTR:
            self.names[found.text] = None
        return found

    def _call(self, called: Any, arguments: Any) -> None:
        if not isinstance(called, Name):
            raise _Undecidable("it calls what it computes")
        if called.text in GETATTR:
            self._push(self._attribute(called, arguments))
            return
        self._used([arguments])
        if not self._calls(called.text):
            self.names[called.text + "()"] = None
        self._push(None)

    def _attribute(self, getattr_: Name, arguments: Any) -> Optional[Name]:
        """A class's attribute, under the name that it would have in a newer pickle."""
        parts = arguments if isinstance(arguments, tuple) else ()
        if len(parts) == 2 and isinstance(parts[0], Name) and isinstance(parts[1], str):
            module, _, owner = parts[0].text.rpartition(".")
            if module and ":" not in parts[0].text and parts[0].text not in GETATTR:
                return self._imported(module, owner + "." + parts[1])
        self._used([getattr_, arguments])
        return None

    def _used(self, values: List[Any]) -> None:
        """Note where `getattr` goes other than into a call that is followed."""
        for value in values:
            if isinstance(value, Name) and value.text in GETATTR:
                self.names[value.text] = None
            elif isinstance(value, (list, tuple)) and not isinstance(value, (Name, Mark)):
                self._used(list(value))

    def _persistent(self, reference: Any) -> Optional[Name]:
        """In PyTorch's older format a reference may hold a class and its source; others are weights."""
        parts = reference if isinstance(reference, tuple) else ()
        if parts[:1] == ("module",) and len(parts) > 1 and isinstance(parts[1], Name):
            return parts[1]
        self._used([reference])
        return None

    def _push_tuple(self, values: List[Any]) -> None:
        # flat: a tuple of tuples of tuples would take forever to look through
        self._used([value for value in values if isinstance(value, Name)])
        self._push(tuple(None if type(value) is tuple else value for value in values))

    def _top(self) -> Any:
        if not self._stack or isinstance(self._stack[-1], Mark):
            raise _Undecidable("its stack is empty where something should be")
        return self._stack[-1]

    def _pop(self) -> Any:
        self._top()
        return self._stack.pop()

    def _pop_any(self) -> None:
        if not self._stack:
            raise _Undecidable("its stack is empty where something should be")
        self._used([self._stack.pop()])

    def _to_mark(self) -> List[Any]:
        found: List[Any] = []
        while self._stack and not isinstance(self._stack[-1], Mark):
            found.append(self._stack.pop())
        if not self._stack:
            raise _Undecidable("its stack has no mark where one should be")
        self._stack.pop()
        return found[::-1]


_Step = Callable[[Scan, Any], None]
"""What is done for an opcode with its argument."""


def _taking(count: int, step: _Step) -> _Step:
    """A step that takes so many values from the stack."""
    return lambda scan, _: step(scan, [scan._pop() for _ in range(count)][::-1])


_STEPS: Dict[str, _Step] = {
    **dict.fromkeys(STRINGS, lambda scan, text: scan._push(str(text))),
    **dict.fromkeys(PUTS, Scan._put),
    "MEMOIZE": lambda scan, _: scan._put(len(scan._memo)),
    **dict.fromkeys(GETS, Scan._get),
    "MARK": lambda scan, _: scan._push(Mark()),
    "DUP": lambda scan, _: scan._push(scan._top()),
    "POP": lambda scan, _: scan._pop_any(),
    "GLOBAL": lambda scan, argument: scan._push(scan._global(argument)),
    "INST": lambda scan, argument: scan._call(scan._global(argument), scan._to_mark()),
    "STACK_GLOBAL": lambda scan, _: scan._push(scan._stack_global()),
    **dict.fromkeys(EXTENSIONS, lambda scan, _: scan._extension()),
    **{name: _taking(count, Scan._push_tuple) for name, count in TUPLES.items()},
    "TUPLE": lambda scan, _: scan._push_tuple(scan._to_mark()),
    "REDUCE": lambda scan, _: scan._reduce(),
    "NEWOBJ": lambda scan, _: scan._new_object(),
    "NEWOBJ_EX": lambda scan, _: scan._new_object_by_keywords(),
    "OBJ": lambda scan, _: scan._object(),
    **{name: _taking(count, Scan._change) for name, count in CHANGES.items()},
    **dict.fromkeys(CHANGES_TO_MARK, lambda scan, _: scan._change(scan._to_mark())),
    "BINPERSID": lambda scan, _: scan._push(scan._persistent(scan._pop())),
    "STOP": lambda scan, _: scan._used([scan._pop()]),
}
"""Opcode -> what it does to what is known; all others make values out of values."""
