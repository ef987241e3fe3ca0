"""Look-ups over toolkits.json, the one table of toolkits, chips and dtypes.

Everything that lists or checks a chip, version, dtype or option asks here, so that a new chip is a
table entry and nothing else. Unknown names are answered with the nearest known one.
"""

import difflib
import functools
import json
import os
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple, Union

from shared.faults import Fault

ONNX = "onnx"
"""The format whose graphs rkforge works on itself; others come to it, or go to a toolkit as they are."""


class Dtype(NamedTuple):
    """A number format a toolkit can convert to."""

    name: str
    quantize: bool
    """Whether calibration is needed."""
    activation_bits: Optional[int]
    """Width of integer activations; None where they are floats."""
    config: Dict[str, Any]
    """What it adds to the toolkit's `config`."""
    aliases: Sequence[str]
    estimate: bool = False
    """Whether the host can estimate its outputs where the toolkit has no simulator."""


class Regression(NamedTuple):
    """A rule of a toolkit's optimizer that crashes on graphs which are none of its business."""

    when: str
    """Names the check in host/graph/regressions.py that tells whether a graph needs it left out."""
    why: str


class Loader(NamedTuple):
    """What a toolkit's loader of a format makes of operators, as far as it does not say so itself."""

    known: Sequence[str] = ()
    """Those that it has, where it leaves out others without a word; empty where it does not."""
    refused: Dict[str, Sequence[str]] = {}
    """Reason -> operators that it cannot be given."""


class Colours(NamedTuple):
    """The option of `config` that tells a toolkit in which order a model takes the colours of images."""

    option: str
    red_first: Any
    """Its value for models that take red, green, blue."""
    blue_first: Any
    """Its value for models that take blue, green, red."""
    inside: bool
    """Whether the artefact itself turns red first into blue first, so that programs feed red first always."""
    between: str = ""
    """What stands between the values of several inputs; empty where they are a list."""


class Variant(NamedTuple):
    """One of the sets of packages that an environment can have."""

    formats: Sequence[str]
    """Names of the model formats it reads."""
    pythons: Sequence[str]
    """The first is the default."""


class Format(NamedTuple):
    """A format that models come in."""

    name: str
    title: str
    """As people call it."""
    files: str
    """What it consists of, for lists that people read."""
    hints: Dict[str, str] = {}
    """Field of the settings -> what to tell those who leave it out."""
    pickle: bool = False
    """Whether its own library runs what a file names when it loads it."""


class Exporter(NamedTuple):
    """What turns models of training frameworks into ONNX."""

    name: str
    """That of its folder, and of the one under images/, too."""
    package: str
    versions: Sequence[str]
    """Newest first; the first is the default."""
    variants: Dict[str, Variant]
    """The first is the default."""


class Toolkit(NamedTuple):
    """One of the vendor's converters."""

    name: str
    """That of its folder, and of the one under images/, too."""
    package: str
    artifact: str
    versions: Sequence[str]
    """Newest first; the first is the default."""
    variants: Dict[str, Variant]
    """The first is the default."""
    min_opset: int
    """The oldest that its models have: older ones it cannot read, or nothing could check them."""
    max_opset: int
    max_ir_version: int
    input_types: Sequence[str]
    """ONNX's names of the types that inputs can have."""
    other_input_types: str
    """What is known of all others."""
    simulator: bool
    """Whether it can run what it built on a PC."""
    checked_on: str
    """What a result was checked on, for the report."""
    board_command: str
    """How a user checks `{artifact}` on a `{chip}`."""
    calibration: Dict[str, str]
    """How calibration files are written: "images" -> bmp or png, "arrays" -> nchw or nhwc."""
    colours: Colours
    about_quantized: str
    """What to tell those whose model is quantized already."""
    hybrid: Sequence[str]
    """Number formats that single layers can have; empty where rkforge offers no hybrid quantization."""
    unsupported_ops: Dict[str, Sequence[str]]
    """Reason -> operators that it cannot convert."""
    limits: Sequence[str]
    """Names of the checks in host/sources/onnx/limits.py: operators that it converts only in some forms."""
    cpu_advice: Dict[str, str]
    """Operator that its compiler sends to the CPU -> what keeps it on the NPU."""
    regressions: Dict[str, Dict[str, Regression]]
    """Version -> rule -> when and why it has to be left out."""
    loaders: Dict[str, Loader]
    """Format -> its loader."""
    algorithms: Sequence[str]
    dtypes: Dict[str, Dtype]
    config_keys: Dict[str, Dict[str, Any]]
    """Per version: option of `config`, or of another call that a driver passes it to -> its default value."""
    choices: Dict[str, Sequence[Any]]
    """Option of `config` -> its values, where the toolkit would take any other one without a word."""


Kit = Union[Toolkit, Exporter]
"""What has environments of its own."""


class Chip(NamedTuple):
    """A Rockchip SoC."""

    name: str
    toolkit: Toolkit
    since: str
    """The first version of the toolkit that rkforge offers for it."""
    aliases: Sequence[str]
    dtypes: Dict[str, str]
    """dtype -> empty when it is offered, otherwise the reason why not."""
    family: Sequence[str] = ()
    """Chips that load each other's files; empty where only this one does."""
    note: str = ""
    """What everyone who converts for it should be told."""
    quirks: Sequence[str] = ()
    """Names of the graph passes that it needs (host/graph/prepare.py)."""
    longest_row: int = 0
    """Values of one channel that its NPU can move; 0 where no limit is known."""
    cpu_ops: Optional[Sequence[str]] = None
    """Operators that its runtime can run on the CPU; None where that is all that it is given."""

    @property
    def versions(self) -> List[str]:
        """The versions of the toolkit that know this chip, newest first."""
        return [version for version in self.toolkit.versions if _order(version) >= _order(self.since)]

    @property
    def offered(self) -> List[str]:
        """The dtypes that work on this chip."""
        return [name for name, reason in self.dtypes.items() if not reason]


def toolkits() -> Dict[str, Toolkit]:
    """All toolkits by name."""
    return _tables().toolkits


def chips() -> Dict[str, Chip]:
    """All chips by name, without aliases."""
    return _tables().chips


def exporters() -> Dict[str, Exporter]:
    """All exporters by name."""
    return _tables().exporters


def formats() -> Dict[str, Format]:
    """All model formats by name."""
    return _tables().formats


def kits() -> Dict[str, Kit]:
    """All that has environments: toolkits, then exporters."""
    found: Dict[str, Kit] = {}
    found.update(toolkits())
    found.update(exporters())
    return found


def default_variant(kit: Kit) -> str:
    """The variant that is meant where none is named."""
    return next(iter(kit.variants))


def pythons(kit: Kit, variant: str = "") -> Sequence[str]:
    """The Pythons of a variant, or of any; the first is the default."""
    if variant:
        return kit.variants[variant].pythons
    return list(dict.fromkeys(python for one in kit.variants.values() for python in one.pythons))


def reading(kit: Kit, name: str) -> List[str]:
    """The variants that read a format, the preferred one first."""
    return [variant for variant, known in kit.variants.items() if name in known.formats]


def reasons(refused: Dict[str, Sequence[str]]) -> Dict[str, str]:
    """Operator -> why it is refused, of a table's reason -> operators."""
    return {name: reason for reason, names in refused.items() for name in names}


def toolkit(name: str) -> Toolkit:
    """The toolkit of that name; Fault bad-option when there is none."""
    if name not in toolkits():
        raise Fault("bad-option", unknown("toolkit", name, list(toolkits())))
    return toolkits()[name]


def kit(name: str) -> Kit:
    """The toolkit or exporter of that name; Fault bad-option when there is none."""
    if name not in kits():
        raise Fault("bad-option", unknown("toolkit", name, list(kits())))
    return kits()[name]


def chip(name: str) -> Chip:
    """The chip of that name or alias, in any case; Fault chip-unknown when there is none."""
    known = {alias: chip for chip in chips().values() for alias in (chip.name, *chip.aliases)}
    if name.lower() not in known:
        raise Fault("chip-unknown", unknown("chip", name, list(known)))
    return known[name.lower()]


def dtype(of: Chip, name: str) -> Dtype:
    """The dtype of that name for a chip; Fault dtype-unsupported with the reason and what would work."""
    known = {alias: dtype for dtype in of.toolkit.dtypes.values() for alias in (dtype.name, *dtype.aliases)}
    works = _hint("%s converts with %s." % (of.name, ", ".join(of.offered)), of)
    if name.lower() not in known:
        raise Fault("dtype-unsupported", unknown("dtype", name, list(known)), works)
    found = known[name.lower()]
    reason = of.dtypes.get(found.name, "the toolkit does not offer it for this chip")
    if reason:
        raise Fault("dtype-unsupported", "%s cannot use %s: %s" % (of.name, found.name, reason), works)
    return found


def version(of: Chip, name: str) -> str:
    """`name` when that version of the toolkit knows the chip; the default when `name` is empty."""
    name = name or of.versions[0]
    if name not in of.toolkit.versions:
        known = unknown(of.toolkit.package, name, list(of.toolkit.versions))
        raise Fault("version-unsupported", known, _hint("", of))
    if name not in of.versions:
        raise Fault(
            "version-unsupported",
            "%s %s does not know %s" % (of.toolkit.package, name, of.name),
            _hint("Versions that do: %s." % ", ".join(of.versions), of),
        )
    return name


def unknown(kind: str, name: str, known: List[str]) -> str:
    """A sentence that says `name` is unknown and what was probably meant."""
    near = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.5)
    if near:
        return "unknown %s %s: did you mean %s?" % (kind, name, near[0])
    return "unknown %s %s: choose from %s" % (kind, name, ", ".join(known))


def _hint(text: str, of: Chip) -> str:
    """The hint, and what everyone should be told about the chip: they may have meant another one."""
    return " ".join(filter(None, [text, of.note and of.note + "."]))


class _Tables(NamedTuple):
    toolkits: Dict[str, Toolkit]
    exporters: Dict[str, Exporter]
    chips: Dict[str, Chip]
    formats: Dict[str, Format]


@functools.lru_cache(maxsize=None)
def _tables() -> _Tables:
    with open(
        os.path.join(os.path.dirname(os.path.abspath(__file__)), "toolkits.json"), encoding="utf-8"
    ) as stream:
        table = json.load(stream)
    known = {}
    for name, entry in table["toolkits"].items():
        dtypes = {key: Dtype(name=key, **value) for key, value in entry.pop("dtypes").items()}
        regressions = {
            version: {rule: Regression(**value) for rule, value in rules.items()}
            for version, rules in entry.pop("regressions").items()
        }
        loaders = {key: Loader(**value) for key, value in entry.pop("loaders").items()}
        colours = Colours(**entry.pop("colours"))
        known[name] = Toolkit(
            name=name,
            dtypes=dtypes,
            regressions=regressions,
            variants=_variants(entry),
            loaders=loaders,
            colours=colours,
            **entry,
        )
    made = {}
    for name, entry in table["chips"].items():
        made[name] = Chip(name=name, toolkit=known[entry.pop("toolkit")], **entry)
    exporters = {}
    for name, entry in table["exporters"].items():
        variants = _variants(entry)
        exporters[name] = Exporter(name=name, variants=variants, **entry)
    formats = {name: Format(name=name, **entry) for name, entry in table["formats"].items()}
    return _Tables(known, exporters, made, formats)


def _variants(entry: Dict[str, Any]) -> Dict[str, Variant]:
    return {name: Variant(**value) for name, value in entry.pop("variants").items()}


def _order(text: str) -> Tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))
