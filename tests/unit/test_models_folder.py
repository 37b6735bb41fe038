"""The folder that models lie in: two who add at once, one who is killed, cards that are half there."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
import yaml

from actors.models import ModelError, find_model
from actors.models import add as adding
from actors.models.add import ABANDONED_S, add
from actors.models.files import list_models, readable_models
from tests.torch_models import Bright, Hangs, write_model

ADD = "import sys; from pathlib import Path; from actors.models.add import add; add(Path(sys.argv[1]))"


@pytest.fixture
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "here"
    monkeypatch.setenv("HOABAN_MODEL_PATH", str(folder))
    return folder


def test_of_two_who_add_the_same_at_once_one_does(tmp_path: Path, target: Path) -> None:
    package, refused = tmp_path / write_model(tmp_path, "new", Bright()), []

    def one() -> None:
        try:
            add(package)
        except ModelError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=one) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 1
    assert "already" in refused[0]
    assert [path.name for path in target.iterdir()] == ["new-1"]
    assert find_model("new@1").path == target / "new-1" / "m.pt"


def test_one_that_is_killed_leaves_no_model_no_process_and_in_the_end_no_file(tmp_path: Path, target: Path) -> None:
    package = tmp_path / write_model(tmp_path, "new", Hangs())
    process = subprocess.Popen([sys.executable, "-c", ADD, str(package)])
    trial: list[psutil.Process] = []
    ends = time.monotonic() + 60
    while not trial:
        assert time.monotonic() < ends
        trial = psutil.Process(process.pid).children()
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert psutil.wait_procs(trial, timeout=20)[1] == []
    (left,) = target.iterdir()
    assert not [package for package in list_models() if package.card.name == "new"]
    other = tmp_path / write_model(tmp_path, "other", Bright())
    add(other)
    assert left.exists()  # it may be of one who adds right now
    os.utime(left, (time.time() - 2 * ABANDONED_S,) * 2)
    add(tmp_path / write_model(tmp_path, "third", Bright()))
    assert {path.name for path in target.iterdir()} == {"other-1", "third-1"}


def test_two_models_whose_folders_have_one_name(tmp_path: Path, target: Path) -> None:
    add(tmp_path / write_model(tmp_path, "a-1", Bright(), version="2"))
    with pytest.raises(ModelError, match=r"a-1-2: another model is there already; give it another version"):
        add(tmp_path / write_model(tmp_path, "a", Bright(), version="1-2"))
    assert [path.name for path in target.iterdir()] == ["a-1-2"]
    assert find_model("a-1@2").card.version == "2"


def test_a_file_that_becomes_a_link_after_it_was_looked_at(
    tmp_path: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / write_model(tmp_path, "new", Bright())
    room = adding._has_room

    def exchanged(*given: object) -> None:
        room(*given)
        (package / "m.pt").rename(tmp_path / "elsewhere")
        (package / "m.pt").symlink_to(tmp_path / "elsewhere")

    monkeypatch.setattr(adding, "_has_room", exchanged)
    with pytest.raises(ModelError, match="is a link"):
        add(package)
    assert list(target.iterdir()) == []


def test_a_card_that_is_half_copied_stops_no_other_model(target: Path) -> None:
    write_model(target, "good", Bright())
    whole = (target / "good" / "card.yaml").read_text()
    (target / "coming").mkdir(parents=True)
    card = target / "coming" / "card.yaml"
    for part in (whole[:40], yaml.safe_dump({"name": "coming"}), "[" * 900):
        card.write_text(part)
        assert find_model("good").card.name == find_model("good@1").card.name == "good"
        assert "good" in {package.card.name for package in readable_models()}
        with pytest.raises(ModelError, match="coming"):  # the one that is wanted may be it
            find_model("coming")
        with pytest.raises(ModelError, match="correct the card"):
            list_models()
