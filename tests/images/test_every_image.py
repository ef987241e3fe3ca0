"""What holds for every kit's image: labels, contents as locked, a quick start in a sealed container."""

import json
import re

import docker
import pytest

from host.engines import recipe
from shared import chips
from shared.contract import CONTRACT
from tests.images.sealed import Image
from tests.unit.test_install import pins

pytestmark = pytest.mark.docker

STARTS = {
    **dict.fromkeys(chips.toolkits(), "from rknn.api import RKNN; RKNN()"),
    "frameworks": "import onnx, onnxruntime",
}
"""Kit -> what it begins with."""
INSTALLED = "import json, pkg_resources as p; print(json.dumps({d.key: d.version for d in p.working_set}))"


def test_labels_say_what_is_inside(image: Image) -> None:
    labels = docker.from_env().images.get(image.name).labels
    environment = image.environment
    assert labels["rkforge.toolkit"] == environment.toolkit
    assert labels["rkforge.version"] == environment.version
    assert labels["rkforge.variant"] == environment.variant
    assert labels["rkforge.source"] == recipe.code_digest(environment)
    assert labels["rkforge.contract"] == str(CONTRACT)
    assert labels["org.opencontainers.image.version"] == environment.version


def test_packages_are_the_locks(image: Image) -> None:
    environment = image.environment
    label = docker.from_env().images.get(image.name).labels.get("rkforge.torch", "")
    of = recipe.of(environment.toolkit)
    parts = of.parts(environment.version, environment.python, environment.variant, label)
    found: dict[str, str] = json.loads(image.python(INSTALLED))
    installed = {re.sub("[-_.]+", "-", name): version for name, version in found.items()}
    for name, version in pins([part.lock for part in parts]).items():
        assert installed[name] == version


def test_manifest_names_locks_and_packages(image: Image) -> None:
    manifest = json.loads(image.python("print(open('/opt/venv/rkforge.json').read())"))
    environment = image.environment
    assert manifest["toolkit"] == environment.toolkit
    assert manifest["python"].startswith(f"{environment.python}.")
    assert manifest["packages"]["numpy"] == image.python("import numpy; print(numpy.__version__)").strip()
    locks = recipe.of(environment.toolkit).locks(environment.version, environment.python, environment.variant)
    assert manifest["locks"].keys() <= {lock.name for lock in locks}


def test_toolkit_starts_sealed_and_as_any_user(image: Image) -> None:
    start = STARTS[image.environment.toolkit]
    code = f"import os; {start}; print(os.getuid(), os.environ.get('HOME'))"
    assert image.python(code, working_dir="/tmp").splitlines()[-1].startswith("1000 ")
    assert image.python(code, working_dir="/tmp", user="4321:4321").splitlines()[-1].startswith("4321 ")


def test_nothing_is_compiled_at_start(image: Image) -> None:
    code = (
        f"import os, sys; {STARTS[image.environment.toolkit]}; import shared.harness\n"
        "cached = [vars(m).get('__cached__') for m in list(sys.modules.values())]\n"
        "print([c for c in cached if c and c.startswith('/opt') and not os.path.exists(c)])"
    )
    assert image.python(code).splitlines()[-1] == "[]"


def test_profile_allows_fixed_addresses(image: Image) -> None:
    status, _, err = image.run("-R", "true", entrypoint=["setarch"])
    assert status == 0, err


def test_command_is_the_harness(image: Image) -> None:
    status, _, err = image.run()
    assert status == 2
    assert f"usage: python -m {image.environment.toolkit}" in err
