"""The system that faults are tried on, started once a file."""

from collections.abc import Iterator

import pytest

from tests.faults.whole_system import System, started


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with started(tmp_path_factory.mktemp("faults")) as found:
        yield found
