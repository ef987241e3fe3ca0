"""What rkforge knows, as the table says it: chips, toolkits, dtypes."""

from host.console import Screen
from shared import chips as table


def chips(screen: Screen, as_json: bool) -> int:
    """Print every chip with its toolkit, versions and dtypes, and why the other dtypes are not offered."""
    if as_json:
        screen.json({"chips": [_entry(chip) for chip in table.chips().values()]})
        return 0
    rows = []
    for chip in table.chips().values():
        names = ", ".join((chip.name, *chip.aliases))
        toolkit = f"{chip.toolkit.package} {chip.versions[0]}"
        rows.append([names, toolkit, " ".join(chip.offered), _shares(chip)])
    screen.table(["chip", "toolkit", "dtypes", "loads the files of"], rows)
    for chip in table.chips().values():
        if chip.note:
            screen.print(f"{chip.note}.")
    screen.print("Why a dtype is not offered: invoke chips --json")
    return 0


def _shares(chip: table.Chip) -> str:
    """The other chips of its family."""
    return ", ".join(name for name in chip.family if name != chip.name) or "-"


def _entry(chip: table.Chip) -> dict[str, object]:
    return {
        "name": chip.name,
        "aliases": list(chip.aliases),
        "toolkit": chip.toolkit.name,
        "package": chip.toolkit.package,
        "versions": chip.versions,
        "family": list(chip.family),
        "note": chip.note,
        "dtypes": chip.offered,
        "not_offered": {name: reason for name, reason in chip.dtypes.items() if reason},
    }
