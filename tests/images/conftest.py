"""The images that tests look at, built once."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from host.engines import dockerfile, recipe
from host.plan import Environment
from images import wheel
from shared import chips
from tests import checkout, double
from tests.conftest import ROOT
from tests.images.sealed import Image

DEFAULTS = [
    Environment(kit.name, kit.versions[0], chips.pythons(kit, variant)[0], variant)
    for kit in chips.kits().values()
    for variant in kit.variants
    if kit.variants[variant].formats
]


def docker_build(environment: Environment, name: str, context: Path, *options: str) -> tuple[int, str]:
    """Build the image as the README says to do by hand; exit status and output."""
    command = ["docker", "build", "--force-rm", "--file", f"images/{environment.toolkit}/Dockerfile"]
    command += ["--tag", name]
    for argument, value in dockerfile.arguments(environment, "").items():
        command += ["--build-arg", f"{argument}={value}"]
    done = subprocess.run(
        [*command, *options, "."],
        cwd=context,
        env=dockerfile.builder(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


@pytest.fixture(scope="session", params=DEFAULTS, ids=lambda environment: str(environment.image))
def image(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    """The image of each kit's default environment, in each variant that reads a model: of this very code.

    Where the toolkit is a wheel that the tests do not have, the double's is in it, under a name of its own.
    """
    import docker

    from host.engines.docker import DockerEngine

    wanted: Environment = request.param
    if wheel.needed(recipe.of(wanted.toolkit).folder):
        folder = tmp_path_factory.mktemp("double")
        copy = checkout.copy(folder / "checkout", wanted.toolkit, double.build_wheel(folder))
        name = f"{wanted.image}-double"
        status, log = docker_build(wanted, name, copy)
        assert status == 0, log[-2000:]
        yield Image(wanted, name)
        docker.from_env().images.remove(name, noprune=True)  # its layers are the next build's cache
        return
    engine = DockerEngine()
    if not engine.ready(wanted):
        engine.build(wanted, print)
    yield Image(wanted, wanted.image)


@pytest.fixture(scope="session")
def dependencies() -> Image:
    """Everything of the legacy environment but the vendor's wheel."""
    toolkit = chips.toolkit("legacy")
    environment = Environment("legacy", toolkit.versions[0], chips.pythons(toolkit)[0], "full")
    name = "rkforge/legacy-dependencies"
    status, log = docker_build(environment, name, ROOT, "--target", "dependencies")
    assert status == 0, log[-2000:]
    return Image(environment, name, "/opt/venv/bin/python")
