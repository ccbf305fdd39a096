"""What all tests share."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from command_line import drawn_alphabets, made_once, reference
from hypothesis import settings

settings.register_profile("patient", deadline=None)  # machines may be busy
settings.load_profile("patient")


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory):
    """Decoded data go to a temporary folder, never to the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REPTILE_CACHE", str(made_once(tmp_path_factory, "cache", Path.mkdir)))
        yield


@pytest.fixture(autouse=True)
def _graphs_are_forgotten():
    """TensorFlow's list of custom gradients holds every graph with one until the process ends."""
    yield
    if ops := sys.modules.get("tensorflow.python.framework.ops"):
        gradients = ops.gradient_registry._registry
        for name in [name for name in gradients if name.startswith("CustomGradient-")]:
            del gradients[name]


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of drawn alphabets."""
    return drawn_alphabets(tmp_path_factory)


@pytest.fixture
def finished(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Path:
    """A copy of a finished run on `data`."""
    path, outcome = reference(tmp_path_factory)
    assert outcome.code == 0, outcome.err
    return shutil.copytree(path, tmp_path / "finished")
