"""Makes the documentation's tables from the table of toolkits, the settings, the heads and the faults."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from host import routes  # noqa: E402
from host.config import ENVIRONMENT_PREFIX  # noqa: E402
from host.decoding.contract import Decode, Output, Part  # noqa: E402
from host.graph.families import FAMILIES  # noqa: E402
from host.graph.layouts import CUTS, Cut, chosen  # noqa: E402
from host.settings import SETTINGS  # noqa: E402
from shared import chips  # noqa: E402
from shared.faults import FAULTS, Fault  # noqa: E402


def chip_table() -> str:
    """Chip, toolkit and its versions, and the dtypes that work."""
    rows = ["| chip | toolkit | dtypes |", "|---|---|---|"]
    for chip in chips.chips().values():
        names = ", ".join(name.upper() for name in (chip.name, *chip.aliases))
        versions = f"{chip.toolkit.package} {', '.join(chip.versions)}"
        rows.append(f"| {names} | {versions} | {', '.join(chip.offered)} |")
    return "\n".join(rows)


def setting_table() -> str:
    """Every setting with its flag, variable and meaning."""
    rows = ["| flag and key | variable | meaning |", "|---|---|---|"]
    for setting in SETTINGS:
        variable = ENVIRONMENT_PREFIX + setting.name.replace("-", "_").upper()
        rows.append(f"| `--{setting.name}` | `{variable}` | {setting.help} |")
    return "\n".join(rows)


def fault_table() -> str:
    """Every fault code with its exit status and hint."""
    rows = ["| code | exit status | what to do |", "|---|---|---|"]
    rows += [f"| `{code}` | {kind.exit_status} | {kind.hint} |" for code, kind in FAULTS.items()]
    return "\n".join(rows)


def head_table() -> str:
    """Every kind of head with its outputs when it is cut, and the layout that int8 gets by default."""
    rows = ["| head | task | `branches` | `branches6` | default in int8 |", "|---|---|---|---|---|"]
    mixing = Output("y", (), (Part("box", 4, "xywh"), Part("class", 1, "probability")))
    for family, task in CUTS["branches"]:
        cells = [FAMILIES[family].text, task]
        cells += [_cut(CUTS[layout][family, task]) for layout in ("branches", "branches6")]
        cells.append(f"`{chosen(Decode(family, task, 'raw', (mixing,)), activation_bits=8)}`")
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _cut(cut: Cut) -> str:
    whole = f"; whole: {' / '.join(cut.whole)}" if cut.whole else ""
    return " / ".join(cut.per_stride) + whole


def format_table() -> str:
    """Every format with its files and the ways to each toolkit, the preferred one first."""
    toolkits = chips.toolkits().values()
    header = ["format", "files", *(toolkit.package for toolkit in toolkits)]
    rows = [f"| {' | '.join(header)} |", "|---" * len(header) + "|"]
    for each in chips.formats().values():
        cells = [each.title, each.files, *(_ways(each.name, toolkit) for toolkit in toolkits)]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _ways(name: str, toolkit: chips.Toolkit) -> str:
    try:
        ways = routes.find(name, toolkit)
    except Fault:
        return "-"
    return "; ".join(f"{way} in `{way.variant}`" for way in ways)


TABLES = {
    "README.md": {"chips": chip_table},
    "docs/convert.md": {"settings": setting_table, "faults": fault_table},
    "docs/decode.md": {"heads": head_table},
    "docs/formats.md": {"formats": format_table},
}


def filled(path: str) -> str:
    """The text of a page with its tables made anew."""
    text = (ROOT / path).read_text(encoding="utf-8")
    for name, table in TABLES[path].items():
        pattern = rf"(<!-- {name}:[^\n]*-->\n).*?(<!-- /{name} -->)"
        text = re.sub(pattern, rf"\g<1>{table()}\n\g<2>", text, flags=re.DOTALL)
    return text


if __name__ == "__main__":
    for name in TABLES:
        (ROOT / name).write_text(filled(name), encoding="utf-8")
