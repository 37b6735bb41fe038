"""`hoaban models add`: bad packages stay out, whatever they do to the process that tries them; good ones come in."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from onnx import TensorProto, helper, numpy_helper

from actors.models import ModelError, find_model
from actors.models.add import add
from actors.models.files import list_models
from cli.main import main
from tests.conftest import absent
from tests.planted import package
from tests.torch_models import Bright, Fails, Hangs, Lost, NotNumbers, write_model

EXAMPLE = Path(__file__).parents[2] / "examples" / "backend"
GREEDY_BYTES = 2**31
"""twice what the tests allow, and what the machine survives should the limit not hold"""


@pytest.fixture
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "here"
    monkeypatch.setenv("HOABAN_MODEL_PATH", str(folder))
    return folder


def changed(folder: Path, **fields: object) -> Path:
    card = folder / "card.yaml"
    card.write_text(yaml.safe_dump(yaml.safe_load(card.read_text()) | fields))
    return folder


def with_file(folder: Path, name: str, data: bytes, **fields: object) -> Path:
    (folder / name).write_bytes(data)
    return changed(folder, file=name, sha256=hashlib.sha256(data).hexdigest(), **fields)


def of_torch(folder: Path, module: torch.nn.Module) -> Path:
    return folder / write_model(folder, "new", module)


class Grows(torch.nn.Module):
    """Takes two gigabytes, piece by piece."""

    def forward(self, x):
        kept = [x]
        while len(kept) < 32:
            kept.append(torch.ones(16777216) + len(kept))
        return torch.zeros(x.shape[0], 1, 6) + len(kept)


class WrongClass(torch.nn.Module):
    def forward(self, x):
        one = torch.ones(x.shape[0])
        return torch.stack([0 * one, 0 * one, 20 * one, 20 * one, one, 7 * one], dim=1)[:, None]


def greedy_onnx() -> bytes:
    """A few hundred bytes that ask for two gigabytes."""
    shape = numpy_helper.from_array(np.array([1, 1, 64, GREEDY_BYTES // 64 // 4], np.int64), "shape")
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["first"], axes=[1, 2, 3], keepdims=1),
        helper.make_node("Expand", ["first", "shape"], ["huge"]),
        helper.make_node("ReduceMean", ["huge"], ["small"], axes=[1, 2, 3], keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "greedy",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 64, 64])],
        [helper.make_tensor_value_info("small", TensorProto.FLOAT, [1])],
        [shape],
    )
    return bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)]).SerializeToString())


def small_onnx(*, height: int | str = 64, beyond: str = "", operator: str = "", columns: int = 6) -> bytes:
    """A row of zeros from a picture. beyond: the row is in that file. operator: of a domain that nobody has."""
    row = numpy_helper.from_array(np.array([0, 0, 20, 20, 1, 0][:columns], np.float32), "row")
    if beyond:
        row = TensorProto(name="row", data_type=TensorProto.FLOAT, dims=[6], data_location=TensorProto.EXTERNAL)
        for key, value in (("location", beyond), ("offset", "0"), ("length", "24")):
            row.external_data.add(key=key, value=value)
    shape = numpy_helper.from_array(np.array([1, 1, columns], np.int64), "shape")
    zero = numpy_helper.from_array(np.zeros(1, np.float32), "zero")
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["grey"], axes=[1, 2, 3], keepdims=0),
        helper.make_node(operator or "Identity", ["grey"], ["same"], domain="nobodys" if operator else ""),
        helper.make_node("Mul", ["same", "zero"], ["none"]),
        helper.make_node("Add", ["none", "row"], ["sum"]),
        helper.make_node("Reshape", ["sum", "shape"], ["rows"]),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, height, height])],
        [helper.make_tensor_value_info("rows", TensorProto.FLOAT, [1, 1, columns])],
        [row, shape, zero],
    )
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid("nobodys", 1)]
    return bytes(helper.make_model(graph, opset_imports=opsets).SerializeToString())


def of_onnx(folder: Path, data: bytes, **fields: object) -> Path:
    return with_file(of_torch(folder, Bright()), "m.onnx", data, backend="onnx", **fields)


def linked(folder: Path, name: str) -> Path:
    package = of_torch(folder, Bright())
    (package / name).rename(folder / "elsewhere")
    (package / name).symlink_to(folder / "elsewhere")
    return package


def pickled(folder: Path) -> Path:
    """A pickle that leaves a mark where it is loaded."""
    path = of_torch(folder, Bright()) / "evil.pt"
    torch.save(Evil(folder / "mark"), path, _use_new_zipfile_serialization=True)
    return with_file(path.parent, "evil.pt", path.read_bytes())


class Evil:
    def __init__(self, mark: Path) -> None:
        self.mark = str(mark)

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (self.mark,)


BAD: dict[str, tuple[Callable[[Path], Path], str]] = {
    "no card": (lambda d: d, r"no card\.yaml is in it; write one"),
    "a key too many": (lambda d: changed(of_torch(d, Bright()), colour="red"), "colour: Extra inputs"),
    "wrong digest": (lambda d: changed(of_torch(d, Bright()), sha256="0" * 64), "its card says 000000000000…"),
    "no digest": (lambda d: changed(of_torch(d, Bright()), sha256=""), "sha256: is missing; add that of m.pt"),
    "file missing": (lambda d: changed(of_torch(d, Bright()), file="other.pt"), r"file: other\.pt is missing"),
    "file elsewhere": (lambda d: changed(of_torch(d, Bright()), file="../new/m.pt"), "is not in this folder"),
    "no licence": (lambda d: changed(of_torch(d, Bright()), licence=" "), "licence: is empty"),
    "no labels": (lambda d: changed(of_torch(d, Bright()), labels=[]), "labels: are missing"),
    "a label twice": (lambda d: changed(of_torch(d, Bright()), labels=["a", "a"]), "labels: one is given twice"),
    "no such back end": (lambda d: changed(of_torch(d, Bright()), backend="tpu"), "no back end 'tpu' is installed"),
    "no model": (lambda d: with_file(of_torch(d, Bright()), "m.onnx", b"no", backend="onnx"), "is no ONNX model"),
    "a pickle": (pickled, "cannot be loaded"),
    "fails on pictures": (lambda d: of_torch(d, Fails()), "the model cannot be run: .*at a loss"),
    "not a number": (lambda d: of_torch(d, NotNumbers()), "gives numbers that are not finite"),
    "never a number": (lambda d: of_torch(d, Lost()), "gives numbers that are not finite"),
    "wrong shape": (lambda d: changed(of_torch(d, Bright()), decoder="yolox"), "does not run as its card says"),
    "wrong class": (lambda d: of_torch(d, WrongClass()), "gives class 7, its card has 1"),
    "data of another file": (
        lambda d: of_onnx(d, small_onnx(beyond="/etc/passwd")),
        "External data path",
    ),
    "data of a file above": (
        lambda d: of_onnx(d, small_onnx(beyond="../../../../../../etc/passwd")),
        "External data path",
    ),
    "an operator of nobody": (lambda d: of_onnx(d, small_onnx(operator="Evil")), "is no ONNX model.*nobodys"),
    "another size": (lambda d: of_onnx(d, small_onnx(height=96)), r"its input is \[3, 96, 96\]"),
    "five columns": (lambda d: of_onnx(d, small_onnx(columns=5)), "does not run as its card says"),
    "a linked file": (lambda d: linked(d, "m.pt"), r"m\.pt: is a link"),
    "a linked card": (lambda d: linked(d, "card.yaml"), r"card\.yaml: is a link"),
    "an endless card": (
        lambda d: changed(of_torch(d, Bright()), data="a" * 300_000),
        "characters are no card",
    ),
    "memory (torch)": (lambda d: of_torch(d, Grows()), "memory|allocate"),
    "memory (ONNX)": (
        lambda d: with_file(of_torch(d, Bright()), "m.onnx", greedy_onnx(), backend="onnx"),
        "memory|allocate",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_package_stays_out_and_is_told_why(name: str, tmp_path: Path, target: Path) -> None:
    make, words = BAD[name]
    with pytest.raises(ModelError, match=words):
        add(make(tmp_path), memory_bytes=2**30)
    assert not target.exists() or list(target.iterdir()) == []
    assert not (tmp_path / "mark").exists()


def test_a_graph_that_takes_any_size_is_taken(tmp_path: Path, target: Path) -> None:
    place, _ = add(of_onnx(tmp_path, small_onnx(height="any")))
    assert place.is_dir()


def test_a_file_that_would_fill_the_disk_is_not_copied(tmp_path: Path, target: Path) -> None:
    package = of_torch(tmp_path, Bright())
    with (package / "m.pt").open("r+b") as file:
        file.truncate(2**42)  # sparse
    with pytest.raises(ModelError, match="have to stay; make room"):
        add(package)
    assert list(target.iterdir()) == []


def test_a_model_that_hangs_is_ended(tmp_path: Path, target: Path) -> None:
    with pytest.raises(ModelError, match="did not load and run within 6 s"):
        add(of_torch(tmp_path, Hangs()), limit_s=6)
    assert list(target.iterdir()) == []


def test_a_good_package_comes_in_and_the_same_version_never_again(
    tmp_path: Path, target: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = of_torch(tmp_path, Bright())
    with pytest.raises(SystemExit) as ended:
        main(["models", "add", str(folder)])
    assert not ended.value.code
    assert f"{target / 'new-1'}: a picture took" in capsys.readouterr().out
    assert find_model("new@1").path == target / "new-1" / "m.pt"
    assert {path.name for path in (target / "new-1").iterdir()} == {"card.yaml", "m.pt"}
    with pytest.raises(SystemExit) as ended:
        main(["models", "add", str(folder)])
    assert ended.value.code == 2
    assert "model new@1 is here already" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["yunet", "mobilefacenet", "fastestdet"])
def test_models_of_every_task_are_tried(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        pinned = find_model(name)
    except ModelError as missing:
        absent(str(missing))
    assert pinned.path is not None
    monkeypatch.setenv("HOABAN_MODEL_PATH", str(tmp_path / "here"))
    own = package(tmp_path / "own", pinned.card, pinned.path.read_bytes(), name="own")
    place, tried = add(own)
    assert (place.name, tried.device) == (f"own-{pinned.card.version}", "cpu")


def test_a_version_beside_another_does_not_take_its_place(tmp_path: Path, target: Path) -> None:
    folder = of_torch(tmp_path, Bright())
    add(changed(folder, version="1.9"))
    add(changed(folder, version="1.10"))
    add(changed(folder, version="2"))
    assert find_model("new").card.version == "1.9"
    with pytest.raises(ModelError, match=r"version 1\.2 is below 1\.9, which the bare name stands for"):
        add(changed(folder, version="1.2"))
    yolox = changed(folder, name="yolox-nano", version="0.0.1")
    add(yolox)
    assert next(p for p in list_models() if p.card.name == "yolox-nano").card.version == "0.1.1"


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which `pip install` put the example; it is built from a copy, so that nothing is left beside it."""
    folder = tmp_path_factory.mktemp("example")
    for name in ("pyproject.toml", "hoaban_brightness.py"):
        shutil.copy(EXAMPLE / name, folder)
    flags = ["--quiet", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "install", *flags, "--target", str(folder / "site"), str(folder)]
    subprocess.run(command, check=True, cwd=folder)
    return folder / "site"


@pytest.fixture
def install(example: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes the example's package importable here and in processes that are started."""

    def install(source: str | None = None) -> None:
        """source: other code for its module."""
        site = Path(shutil.copytree(example, tmp_path / "site"))
        shutil.rmtree(site / "__pycache__", ignore_errors=True)  # of the code that was there
        if source is not None:
            (site / "hoaban_brightness.py").write_text(source)
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]))
        monkeypatch.syspath_prepend(str(site))

    return install


def test_the_example_back_end_of_another_package_runs(
    tmp_path: Path, target: Path, install: Callable[..., None]
) -> None:
    install()
    folder = with_file(of_torch(tmp_path, Bright()), "threshold.txt", b"180", backend="brightness")
    add(folder)
    from actors.models import load_model

    detector = load_model(find_model("new"))
    picture = np.zeros((1, 64, 64, 3), np.uint8)
    picture[0, 10:30, 20:50] = 255
    assert detector.infer(picture)[0].tolist() == [[20, 10, 50, 30, pytest.approx(0.9), 0]]
    bad = with_file(changed(folder, version="2"), "threshold.txt", b"bright")
    with pytest.raises(ModelError, match="let its file hold one number, 0 to 255"):
        add(bad)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import os\n\ndef load(*_):\n    os._exit(3)\n", "ended with 3 and no answer"),
        ("import ctypes\n\ndef load(*_):\n    ctypes.string_at(0)\n", "was ended by signal SIGSEGV"),
        ("import sys\n\ndef load(*_):\n    sys.exit('enough')\n", r"ended with 1 and no answer \(enough\)"),
        ("raise OSError('no driver')\n", "cannot be imported: OSError: no driver; mend its package"),
        (
            "import os\n\ndef load(*_):\n    raise RuntimeError(os.environ.get('HOABAN_TOKEN', 'no secret'))\n",
            "RuntimeError: no secret",
        ),
    ],
)
def test_a_back_end_that_crashes_takes_nobody_with_it(
    source: str,
    words: str,
    tmp_path: Path,
    target: Path,
    install: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOABAN_TOKEN", "secret")
    install(source)
    with pytest.raises(ModelError, match=words):
        add(with_file(of_torch(tmp_path, Bright()), "threshold.txt", b"180", backend="brightness"))
    assert list(target.iterdir()) == []
