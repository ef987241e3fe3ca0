"""docker-compose.yml offers the environments of the table, as sealed as the docker engine runs them."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from host import plan
from host.engines import dockerfile, recipe
from host.plan import Environment
from images import wheel
from images.pytorch import sources
from shared import chips

ROOT = Path(__file__).parents[2]
ENVIRONMENTS = [
    Environment(kit.name, version, python, variant)
    for kit in chips.kits().values()
    for version in kit.versions
    for variant in kit.variants
    for python in chips.pythons(kit, variant)
]


def services(**variables: str) -> dict[str, Any]:
    """The services as compose sees them with these variables set."""
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    filled = re.sub(r"\$\{(\w+):-([^}]*)\}", lambda match: variables.get(match[1], match[2]), text)
    found: dict[str, Any] = yaml.safe_load(filled)["services"]
    return found


def service(environment: Environment) -> dict[str, Any]:
    """The service of an environment, with the variables that select its version and Python."""
    default = chips.default_variant(chips.kit(environment.toolkit))
    suffix = "" if environment.variant == default else f"-{environment.variant}"
    minor = environment.python.removeprefix("3.")
    found: dict[str, Any] = services(
        RKFORGE_TOOLKIT_VERSION=environment.version,
        RKFORGE_PYTHON_MINOR=minor,
        RKFORGE_LEGACY_PYTHON_MINOR=minor,
        RKFORGE_LEGACY_DEBIAN=dockerfile.base(environment.python).rpartition("-")[2],
    )[environment.toolkit + suffix]
    return found


@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=lambda environment: environment.tag)
def test_service_builds_the_same_image(environment: Environment) -> None:
    sources = recipe.of(environment.toolkit).sources(environment.python, environment.variant)
    wanted = dockerfile.arguments(environment, sources[0] if sources else "")
    found = service(environment)
    assert found["image"] == environment.image
    assert found["build"]["dockerfile"] == f"images/{environment.toolkit}/Dockerfile"
    arguments = found["build"]["args"]
    assert arguments.keys() == wanted.keys()
    for name in arguments.keys() - {"TORCH_SOURCE", "SOURCE"}:  # one is a choice, one is not known to compose
        assert arguments[name] == wanted[name]


def test_defaults_are_the_tables() -> None:
    for kit in chips.kits().values():
        default = plan.environment_of(kit, lambda pythons: pythons[0])
        assert services()[kit.name]["image"] == default.image


def test_only_what_builds_everywhere_is_built_unasked() -> None:
    unasked = [name for name, found in services().items() if "profiles" not in found]
    assert unasked == [name for name in chips.toolkits() if not wheel.needed(ROOT / "images" / name)]


@pytest.mark.parametrize("name", services())
def test_arguments_are_the_dockerfiles(name: str) -> None:
    build = services()[name]["build"]
    text = (ROOT / build["dockerfile"]).read_text(encoding="utf-8")
    assert set(build["args"]) == set(re.findall(r"^ARG (\w+)", text, re.MULTILINE))


def test_dockerfiles_with_pytorch_differ_in_names_alone() -> None:
    texts = {}
    for kit in chips.kits().values():
        if sources.HERE in recipe.of(kit.name).beside:
            text = (ROOT / "images" / kit.name / "Dockerfile").read_text(encoding="utf-8")
            text = text.replace(kit.name, "KIT").replace(kit.versions[0], "VERSION")
            texts[kit.name] = text.replace(f"VARIANT={chips.default_variant(kit)}", "VARIANT=DEFAULT")
    first, *others = texts.values()
    assert others and others == [first] * len(others)


@pytest.mark.parametrize("name", services())
def test_runs_are_sealed(name: str) -> None:
    found = services()[name]
    assert found["network_mode"] == "none"
    assert found["read_only"] is True
    assert found["cap_drop"] == ["ALL"]
    assert found["init"] is True
    assert found["pids_limit"] > 0
    assert found["mem_limit"] == found["memswap_limit"]
    assert not str(found["user"]).startswith(("0", "root"))
    assert found["volumes"] == ["./jobs:/jobs"]
    privileges, profile = found["security_opt"]
    assert privileges == "no-new-privileges"
    assert (ROOT / profile.removeprefix("seccomp:")).is_file()
