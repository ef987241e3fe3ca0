"""The rules of the house, held by reading the code: who may import whom, and where knowledge may lie."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from host.plan import Environment
from shared import chips
from shared.faults import FAULTS

ROOT = Path(__file__).resolve().parents[2]
PURE = ("host.sources", "host.decoding", "host.calibration", "host.graph", "host.quality")
"""The rooms that know files and arrays alone, in their order: each imports itself and those before it."""
STOREYS = (
    ("tasks",),
    ("host.commands",),
    ("host.conversion", "host.running", "host.loading", "host.export"),
    ("host.steps", "host.jobs", "host.engines"),
    ("host.plan", "host.routes"),
    ("host.config", "host.flags"),
    ("host.settings",),
    ("host.results", *PURE),
    ("host.console", "host.paths"),
    ("shared",),
)
"""From the front door down; a module belongs to the longest name that fits. Imports go down or sideways."""
BUILDERS = ("host.engines", "host.commands.doctor")
"""Who knows images/, from which environments are built."""
OF_TOOLKIT = {
    "toolkit2": {"numpy", "torch", "rknn", "cv2", "tensorflow"},
    "legacy": {"numpy", "rknn", "ruamel"},
    "frameworks": {
        *("numpy", "onnx", "onnxruntime", "torch", "ultralytics"),
        *("tensorflow", "keras", "tf_keras", "tf2onnx", "h5py", "flatbuffers"),
    },
}
"""What a driver may import besides the standard library and shared/: its own toolkit and what that brings."""


def files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


HOST = [ROOT / "tasks.py", *files("host", "shared")]
PRODUCT = [*HOST, *files(*chips.kits())]
RECIPES = [
    *(ROOT / "images" / name for name in ("installer.py", "wheel.py", "pytorch/sources.py")),
    *sorted((ROOT / "images").glob("*/install.py")),
]
"""What of images/ runs in builders, without the rest of the product."""


def name(path: Path) -> str:
    """host/results/cache.py -> host.results.cache"""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path, typing_only: bool = False) -> Iterator[str]:
    """The modules a file imports, anywhere in it; those for type checkers only where asked for."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    hidden = {
        child
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING" and not typing_only
        for child in ast.walk(node)
    }
    for node in ast.walk(tree):
        if node in hidden:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            module = node.module or ""
            yield from (
                inner if is_module(inner := f"{module}.{alias.name}") else module for alias in node.names
            )


def is_module(dotted: str) -> bool:
    path = ROOT.joinpath(*dotted.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def storey(module: str) -> int:
    fitting = [
        (len(prefix), number)
        for number, prefixes in enumerate(STOREYS)
        for prefix in prefixes
        if module == prefix or module.startswith(prefix + ".")
    ]
    assert fitting, f"{module} has no place in the house: add it to STOREYS"
    return max(fitting)[1]


def in_room(module: str, rooms: tuple[str, ...]) -> bool:
    return any(module == room or module.startswith(room + ".") for room in rooms)


@pytest.mark.parametrize("path", HOST, ids=name)
def test_imports_go_down(path: Path) -> None:
    module = name(path)
    for imported in imports(path):
        top = imported.split(".")[0]
        if top in ("host", "tasks", "service"):
            assert storey(imported) >= storey(module), f"{module} imports {imported} upwards"
        assert top != "images" or in_room(module, BUILDERS), f"{module} imports {imported}"


def test_no_module_imports_itself_in_a_circle() -> None:
    graph = {name(path): {one for one in imports(path) if is_module(one)} for path in PRODUCT}
    done: set[str] = set()

    def visit(module: str, way: tuple[str, ...]) -> None:
        assert module not in way, " -> ".join((*way[way.index(module) :], module))
        if module in done:
            return
        for imported in graph.get(module, ()):
            visit(imported, (*way, module))
        done.add(module)

    for module in graph:
        visit(module, ())


@pytest.mark.parametrize("path", files(*(room.replace(".", "/") for room in PURE)), ids=name)
def test_pure_rooms_know_no_engine_no_console_and_no_settings(path: Path) -> None:
    number = next(number for number, room in enumerate(PURE, 1) if in_room(name(path), (room,)))
    for imported in imports(path, typing_only=True):
        if imported.split(".")[0] in ("host", "tasks"):
            assert in_room(imported, PURE[:number]), f"{name(path)} imports {imported}"
        assert imported.split(".")[0] not in ("docker", "rich", "invoke", "subprocess")


@pytest.mark.parametrize("path", files("shared"), ids=name)
def test_shared_is_standard_library_only(path: Path) -> None:
    for imported in imports(path, typing_only=True):
        top = imported.split(".")[0]
        assert top == "shared" or top in sys.stdlib_module_names, f"{name(path)} imports {imported}"


@pytest.mark.parametrize("path", RECIPES, ids=name)
def test_recipes_are_standard_library_only(path: Path) -> None:
    for imported in imports(path, typing_only=True):
        top = imported.split(".")[0]
        assert top == "images" or top in sys.stdlib_module_names, f"{name(path)} imports {imported}"


@pytest.mark.parametrize("path", files(*chips.kits()), ids=name)
def test_drivers_import_their_own_toolkit_only(path: Path) -> None:
    driver = path.relative_to(ROOT).parts[0]
    allowed = {"shared", driver, *OF_TOOLKIT[driver]}
    for imported in imports(path, typing_only=True):
        top = imported.split(".")[0]
        assert top in allowed or top in sys.stdlib_module_names, f"{name(path)} imports {imported}"


def test_vendors_code_is_imported_in_one_module_only() -> None:
    importers = {name(path) for path in PRODUCT if any(one.split(".")[0] == "rknn" for one in imports(path))}
    assert importers == {f"{toolkit}.convert" for toolkit in chips.toolkits()}


def test_what_environments_run_is_python_3_6() -> None:
    vermin = Path(sys.executable).with_name("vermin")
    drivers = [toolkit.name for toolkit in chips.toolkits().values() if "3.6" in chips.pythons(toolkit)]
    old = [*files("shared", *drivers), *RECIPES]
    command = [str(vermin), "--quiet", "--target=3.6-", "--violations", *map(str, old)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_front_door_is_small_and_decides_nothing() -> None:
    text = (ROOT / "tasks.py").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 250
    assert not [kit for kit in chips.kits() if kit in text]
    assert {one.split(".")[0] for one in imports(ROOT / "tasks.py")} <= {
        *sys.stdlib_module_names,
        "invoke",
        "host",
        "shared",
    }


@pytest.mark.parametrize("path", [*PRODUCT, *RECIPES], ids=name)
def test_what_differs_between_chips_and_toolkits_lies_in_the_table(path: Path) -> None:
    """No comparison with the name of a toolkit, chip or format outside the folder it is about."""
    home = path.relative_to(ROOT).parts[0]
    names = {*chips.chips(), *(alias for chip in chips.chips().values() for alias in chip.aliases)}
    names |= {kit for kit in chips.kits() if kit != home}
    names |= {*chips.formats()} if path in HOST else set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.Compare, ast.Match)):
            found = {inner.value for inner in ast.walk(node) if isinstance(inner, ast.Constant)}
            assert not found & names, f"{name(path)}:{node.lineno} compares with {found & names}"


OPTIONS = [
    {option for keys in toolkit.config_keys.values() for option in keys}
    for toolkit in chips.toolkits().values()
]
SET_WHERE_IT_IS_KNOWN = {"custom_string": "host.steps.description", "disable_rules": "host.graph.regressions"}
"""Option of one toolkit -> the module that sets it for those that have it."""


@pytest.mark.parametrize("path", HOST, ids=name)
def test_options_that_only_some_toolkits_have_lie_in_the_table(path: Path) -> None:
    some = {
        option for options in OPTIONS for option in options if not all(option in each for each in OPTIONS)
    }
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in some:
            assert SET_WHERE_IT_IS_KNOWN.get(node.value) == name(path), f"{name(path)}:{node.lineno}"


@pytest.mark.parametrize("kit", chips.kits().values(), ids=lambda kit: str(kit.name))
def test_kit_has_all_that_belongs_to_one(kit: chips.Kit) -> None:
    from host.engines import recipe

    images = ROOT / "images" / kit.name
    wanted = [
        *(ROOT / kit.name / file for file in ("__init__.py", "__main__.py", "convert.py")),
        *(images / file for file in ("Dockerfile", "README.md", "install.py", "relock.py")),
    ]
    wanted += [
        lock
        for version in kit.versions
        for variant in kit.variants
        for python in chips.pythons(kit, variant)
        for lock in recipe.of(kit.name).locks(version, python, variant)
    ]
    assert [str(path.relative_to(ROOT)) for path in wanted if not path.is_file()] == []
    assert list(images.glob("*.in"))
    assert {*recipe.of(kit.name).thin} == {*kit.variants}


def test_artifacts_tell_their_toolkit() -> None:
    for toolkit in chips.toolkits().values():
        assert toolkit.artifact.endswith(f"{toolkit.name}.rknn")


@pytest.mark.parametrize("kit", chips.kits().values(), ids=lambda kit: str(kit.name))
def test_environments_of_a_kit_differ(kit: chips.Kit) -> None:
    tags = [
        Environment(kit.name, version, python, variant).tag
        for version in kit.versions
        for variant in kit.variants
        for python in chips.pythons(kit, variant)
    ]
    assert len(set(tags)) == len(tags)


def test_every_code_that_is_raised_is_in_the_list_and_none_is_there_for_nothing() -> None:
    raised, used = set(), set()
    for path in (*PRODUCT, *RECIPES):
        if name(path) == "shared.faults":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant):
                used.add(node.value)
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("Fault", "Unusable"):
                raised |= {one.value for one in node.args[:1] if isinstance(one, ast.Constant)}
    assert raised <= set(FAULTS)
    assert set(FAULTS) <= used


def test_exit_statuses_are_those_of_the_design() -> None:
    assert {kind.exit_status for kind in FAULTS.values()} == {1, 2, 3, 4, 5, 6, 7, 8, 130}
    assert all(kind.hint.endswith((".", "`")) and 400 <= kind.http_status < 600 for kind in FAULTS.values())


HEAVY = {"numpy", "onnx", "onnxruntime", "PIL", "docker", "requests"}


@pytest.mark.parametrize(
    "arguments",
    [("--list",), ("convert", "--help"), ("convert", "--chip", "rk3588", "--engine", "local", "--dry-run")],
    ids=" ".join,
)
def test_quick_answers_load_nothing_heavy(arguments: tuple[str, ...]) -> None:
    code = (
        "import sys; from invoke.main import program\n"
        f"try: program.run(['invoke', *{arguments!r}])\n"
        "finally: print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    loaded = set(done.stderr.split())
    assert "tasks" in loaded, done.stderr
    assert not loaded & HEAVY
