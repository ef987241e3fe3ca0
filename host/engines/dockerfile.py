"""What `docker build` is told: the Dockerfile's arguments, and the base image of a Python."""

import os
import platform
import subprocess

from docker import DockerClient
from docker.errors import APIError, ImageNotFound

from host import paths
from host.engines import recipe
from host.engines.protocol import Say
from host.plan import Environment
from shared.contract import CONTRACT
from shared.faults import Fault

FOREIGN = None if platform.machine() in ("x86_64", "AMD64") else "linux/amd64"
"""What to ask of the engine on other machines: the locks are verified for x86_64 only."""
DEBIAN = {"3.6": "bullseye"}
"""Python -> the newest Debian that its official image has been made with, where that is not bookworm."""


def base(python: str) -> str:
    """The official image of that Python."""
    return f"python:{python}-slim-{DEBIAN.get(python, 'bookworm')}"


def arguments(environment: Environment, torch_source: str) -> dict[str, str]:
    """The Dockerfile's arguments; `torch_source` is empty where the toolkit leaves no choice."""
    return {
        "PYTHON_BASE": base(environment.python),
        "TOOLKIT_VERSION": environment.version,
        "VARIANT": environment.variant,
        **({"TORCH_SOURCE": torch_source} if torch_source else {}),
        "SOURCE": recipe.code_digest(environment),
        "CONTRACT": str(CONTRACT),
    }


def build(client: DockerClient, environment: Environment, torch_source: str, say: Say) -> None:
    """Build the image with the docker command: the SDK has the classic builder only.

    Raises:
        Fault: environment-build, with the log where there is one.
    """
    log = paths.cache() / "builds" / f"{environment.toolkit}-{environment.tag}.log"
    origin = f" (PyTorch from {torch_source})" if torch_source else ""
    say(f"building {environment.image}{origin}; log: {log}")
    python = base(environment.python)
    command = ["docker", "build", "--force-rm", "--file", f"images/{environment.toolkit}/Dockerfile"]
    command += ["--tag", environment.image]
    for name, value in arguments(environment, torch_source).items():
        command += ["--build-arg", f"{name}={value}"]
    command += ["--label", f"rkforge.base={python}@{_digest(client, python)}"]
    command += ["--platform", FOREIGN] if FOREIGN else []
    command += ["."]
    try:
        built = recipe.build(command, log, say, builder())
    except FileNotFoundError:
        raise Fault(
            "environment-build", "building an image needs the docker command", "Install Docker's CLI."
        ) from None
    if not built:
        raise Fault(
            "environment-build",
            f"could not build {environment.image}",
            log=str(log),
            log_tail=recipe.tail(log),
        )


def first_line(error: Exception) -> str:
    """The first line of what an engine's error says."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def _digest(client: DockerClient, base: str) -> str:
    """The registry digest of a base image, pulled if need be; its local id when it has none."""
    try:
        image = client.images.get(base)
    except ImageNotFound:
        try:
            image = client.images.pull(base, platform=FOREIGN)
        except APIError as error:
            raise Fault(
                "environment-build",
                f"cannot pull the base image {base} ({first_line(error)})",
                "Check the network and the registry, or load the image by hand.",
            ) from None
    digests = image.attrs.get("RepoDigests") or []
    return str(digests[0].partition("@")[2] if digests else image.id)


def builder() -> dict[str, str]:
    """BuildKit where the client has buildx; a newer client without it stops unless told otherwise."""
    found = subprocess.run(["docker", "buildx", "version"], capture_output=True, check=False).returncode == 0
    return {**os.environ, "DOCKER_BUILDKIT": "1" if found else "0"}
