"""What all tests share."""

from __future__ import annotations

import os

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
