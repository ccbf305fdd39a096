"""Two at once: whoever comes second is refused in one line, and changes nothing."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

import pytest
from command_line import assert_refused, call, flags, tree

from supervised_reptile.cli.main import reptile
from supervised_reptile.errors import UserError
from supervised_reptile.system import folder_lock
from supervised_reptile.system.folder_lock import lock

# what to run with an --out -> where below it the first one would be at work
AT_WORK = {
    "sine": ("sine", "."),
    "a table": ("reproduce omniglot-5way --fraction 0.0001", "seed-0"),
    "a study of many runs": ("reproduce gradients --fraction 0.0001", "runs"),
}


@pytest.mark.parametrize("case", AT_WORK)
def test_what_is_at_work_is_left_alone(case: str, data: Path, tmp_path: Path) -> None:
    words, place = AT_WORK[case]
    out = tmp_path / "out"
    images = [] if case == "sine" else flags(data_dir=data)
    with lock(out / place):
        outcome = call(*words.split(), *flags(out=out), *images, command=reptile)
        assert_refused(outcome, f"{out / place}: another process is at work there")
        assert not tree(out)


def test_a_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As network file systems may be; there is none here."""

    def flock(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(folder_lock.fcntl, "flock", flock)
    with pytest.raises(UserError, match=re.escape(f"{tmp_path}: no lock there (No locks avail")):
        lock(tmp_path)


def test_a_sweep_at_work_is_left_alone(data: Path, tmp_path: Path) -> None:
    pytest.importorskip("optuna", reason="the extra [sweep] is not installed")
    pytest.importorskip("ray", reason="the extra [sweep] is not installed")
    file, out = tmp_path / "space.toml", tmp_path / "out"
    space = "meta-step = [0.5, 1.0]\n[fixed]\nval-classes = 9"
    file.write_text(f'[search]\nmethod = "grid"\n[space]\n{space}\n')
    with lock(out):
        outcome = call("sweep", file, "--data-dir", data, "--out", out, command=reptile)
    assert_refused(outcome, "another process is at work there")
    assert not tree(out)


def test_a_lock_ends_with_its_holder(tmp_path: Path) -> None:
    with lock(tmp_path), pytest.raises(UserError, match="another process"):
        lock(tmp_path)
    lock(tmp_path).close()
