"""What all tests share."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("patient", deadline=None)  # machines may be busy
settings.load_profile("patient")


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory):
    """Decoded data go to a temporary folder, never to the user's cache."""
    before = os.environ.get("REPTILE_CACHE")
    os.environ["REPTILE_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ["REPTILE_CACHE"]
    else:
        os.environ["REPTILE_CACHE"] = before


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of drawn alphabets."""
    from command_line import drawn_alphabets  # imports TensorFlow, which not every test needs

    return drawn_alphabets(tmp_path_factory)


@pytest.fixture
def finished(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Path:
    """A copy of a finished run on `data`."""
    from command_line import reference

    path, outcome = reference(tmp_path_factory)
    assert outcome.code == 0, outcome.err
    return shutil.copytree(path, tmp_path / "finished")
