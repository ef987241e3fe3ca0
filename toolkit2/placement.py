"""Reads the compiler's table from the log: what runs on the NPU, what on the CPU, and the memory needed.

    ID OpType   DataType Target InputShape                OutputShape Cycles(DDR/NPU/Total) RW(KB) FullName
    1  ConvRelu INT8     NPU    (1,3,32,32),(8,3,3,3),(8) (1,8,32,32) 1575/9216/9216        4      Conv:c

Versions 2.2.0 to 2.5.0 print it alike; chips that skip zeros have a column SparseRatio before RW(KB).
"""

import re

from shared.contract import Operator, Placement

TITLE = "Network Layer Information Table"
EDGES = ("InputOperator", "OutputOperator")
"""Rows that are no operators: always there, always on the CPU."""
_SHAPES = r"(\\|\([\d,]*\)(?:,\([\d,]*\))*(?:,\.\.\.)?)"
_CLOCK = re.compile(r"[DIWE] RKNN: \[[\d:.]+\] ")
_ROW = re.compile(
    rf"\d+ +(\w+) +(\w+) +(\w+) +{_SHAPES} *{_SHAPES} +(\d+)/(\d+)/(\d+) +(?:[\d.]+% +)?(\d+)(?: +(.*))?$"
)
_MEMORY = re.compile(r"Total (Internal|Weight) Memory Size: ([\d.]+)KB")
_FALLBACK = re.compile(r"(\w+)\b.*\bfall ?back\b.*\bcpu\b", re.IGNORECASE)


def read(log: str) -> Placement | None:
    """The last table in a log; None when there is none, or one in another form than the known."""
    lines = [line[found.end() :].rstrip() for line in log.splitlines() if (found := _CLOCK.match(line))]
    titles = [number for number, line in enumerate(lines) if line.strip() == TITLE]
    memory = {found[1]: float(found[2]) for line in lines if (found := _MEMORY.match(line))}
    if not titles or len(memory) < 2:
        return None
    rows = [_ROW.match(line) for line in _body(lines[titles[-1] :])]
    operators = [_operator(row) for row in rows if row is not None and row[1] not in EDGES]
    if not rows or None in rows:
        return None
    reasons = {found[1]: line for line in lines if (found := _FALLBACK.match(line))}
    return Placement(operators, memory["Internal"], memory["Weight"], reasons)


def _body(lines: list[str]) -> list[str]:
    """The numbered lines below a title, between the second rule and the third."""
    rules = [number for number, line in enumerate(lines) if line.startswith("---")]
    return [line for line in lines[rules[1] : rules[2]] if line[:1].isdigit()] if len(rules) > 2 else []


def _operator(row: re.Match[str]) -> Operator:
    op, dtype, target, inputs, outputs, memory, compute, total, traffic, name = row.groups()
    return Operator(
        op=op,
        name=(name or "").split(":", 1)[-1],
        dtype=dtype,
        target=target,
        inputs=_shapes(inputs),
        outputs=_shapes(outputs),
        memory_cycles=int(memory),
        compute_cycles=int(compute),
        cycles=int(total),
        traffic_kb=int(traffic),
    )


def _shapes(text: str) -> str:
    """(1,3,32,32),(8,3,3,3),... -> 1x3x32x32 8x3x3x3 ..."""
    return " ".join(shape.strip("()").replace(",", "x") or "()" for shape in re.split(r",(?=[(.])", text))
