"""What is installed: ranges with two ends, the lower ones pinned for tests, no registry named."""

from __future__ import annotations

import ast
import json
import re
import shutil
from itertools import chain

import pytest
from command_line import ROOT, assert_refused, call, script

LOCK = ROOT / "web" / "package-lock.json"


def requirements() -> dict[str, str]:
    """Package -> its range, of everything that setup.py asks for."""
    tree = ast.parse((ROOT / "setup.py").read_text(encoding="utf8"))
    (setup,) = (
        {word.arg: word.value for word in node.keywords}
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "setup"
    )
    extras = ast.literal_eval(setup["extras_require"])
    lines = [*ast.literal_eval(setup["install_requires"]), *chain(*extras.values())]
    parts = [re.fullmatch(r"([\w-]+)(?:\[[\w,-]+\])?([^;]*)(?:;.*)?", line) for line in lines]
    return {part[1]: part[2] for part in parts}


def ends(package: str) -> tuple[str, ...]:
    """The lowest version of the range and the first above it; twice the only one there is."""
    span = requirements()[package]
    if exact := re.fullmatch(r"==([\d.]+)", span):
        return (exact[1],) * 2
    found = re.fullmatch(r">=([\d.]+),<([\d.]+)", span)
    assert found, f"{package}{span} is not a range with a lower and an upper end"
    return found.groups()


def pins() -> dict[str, str]:
    """Package -> version, of tests/oldest.txt."""
    lines = (ROOT / "tests" / "oldest.txt").read_text(encoding="utf8").splitlines()
    lines = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[\w-]+==[\d.]+", line) for line in lines), lines
    return dict(line.split("==") for line in lines)


@pytest.mark.parametrize("package", requirements())
def test_versions_have_a_lower_and_an_upper_end(package: str) -> None:
    lowest, above = ends(package)
    assert [int(n) for n in lowest.split(".")] <= [int(n) for n in above.split(".")]


def test_the_oldest_environment_has_the_lower_ends() -> None:
    compared_with_only = {"torch", "jax"}  # in benchmarks
    lowest = {package: ends(package)[0] for package in requirements()}
    assert pins() == {p: v for p, v in lowest.items() if p not in compared_with_only}


def test_the_pages_packages_are_locked_by_content_and_name_no_registry() -> None:
    packages = json.loads(LOCK.read_text(encoding="utf8"))["packages"]
    assert len(packages) > 1
    for name, package in packages.items():
        assert "resolved" not in package, name
        assert not name or package["integrity"].startswith("sha512-"), name


def test_reports_of_known_vulnerabilities() -> None:
    audit = script(ROOT / "tools" / "audit.py")
    known = {"id": "PYSEC-1", "fix_versions": ["2.0"], "aliases": [], "description": "..."}
    report = {
        "dependencies": [
            {"name": "one", "version": "1.0", "vulns": [known]},
            {"name": "two", "version": "1.0", "vulns": []},
            {"name": "three", "skip_reason": "not on an index"},
        ]
    }
    assert audit.read_python(report) == (["one 1.0: PYSEC-1, fixed in 2.0"], ["three"])
    with pytest.raises(ValueError, match="knows none"):
        audit.read_python({"dependencies": report["dependencies"][2:]})
    report = {"vulnerabilities": {"one": {"range": "<2.0", "severity": "high", "via": []}}}
    assert audit.read_page(report) == (["one <2.0: high"], [])


def test_an_audit_without_a_network_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:1")
    monkeypatch.setenv("npm_config_fetch_retries", "0")
    silent = shutil.which("false")
    outcome = call("--pip-audit", silent, command=script(ROOT / "tools" / "audit.py").main)
    assert_refused(outcome, "Python's packages were not audited", "the page's packages were not")
