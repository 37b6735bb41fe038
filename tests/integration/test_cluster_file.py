"""cluster.yaml: Ray takes it, and what it copies to a node is enough to install from."""

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

pytestmark = pytest.mark.integration
PROJECT = Path(__file__).resolve().parents[2]
CONFIG = yaml.safe_load((PROJECT / "cluster.yaml").read_text())
SOURCE = "~/hoaban/source"


def test_rays_own_validator_takes_the_cluster_file() -> None:
    validate_config(prepare_config(CONFIG))
    with pytest.raises(Exception, match="nonsense"):
        validate_config(prepare_config(CONFIG | {"nonsense": 1}))


def test_what_it_copies_is_all_that_its_commands_name() -> None:
    named = set(re.findall(rf"{SOURCE}/\S+", " ".join(CONFIG["setup_commands"])))
    assert {f"{SOURCE}/constraints.txt", f"{SOURCE}/no-deps.txt"} <= named
    assert named <= set(CONFIG["file_mounts"])
    words = " ".join(command for key in CONFIG if key.endswith("commands") for command in CONFIG[key]).split()
    venv = {word.split("/bin/")[0] for word in words if "/bin/" in word}
    assert venv == {"~/hoaban/venv"}


def test_a_node_can_install_from_what_is_copied(tmp_path: Path) -> None:
    for target, source in CONFIG["file_mounts"].items():
        copy = tmp_path / "source" / target.removeprefix(f"{SOURCE}/")
        copy.parent.mkdir(exist_ok=True)
        if (PROJECT / source).is_dir():
            shutil.copytree(PROJECT / source, copy, ignore=shutil.ignore_patterns(*CONFIG["rsync_exclude"]))
        else:
            shutil.copyfile(PROJECT / source, copy)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    command += ["--wheel-dir", str(tmp_path), str(tmp_path / "source")]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        names = set(wheel.namelist())
    ours = {path.relative_to(PROJECT).as_posix() for package in ("hoaban", "actors", "serve", "dashboards", "cli")
            for path in (PROJECT / package).rglob("*.py")}  # fmt: skip
    assert ours <= names
    assert {"cli/demo/fleet.yaml", "dashboards/wall.html"} <= names
