"""The house rules of ARCHITECTURE.md and CONTRIBUTING.md, checked on the source."""

from __future__ import annotations

import ast
import fnmatch
import re
import warnings
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from command_line import ROOT

PACKAGE = ROOT / "supervised_reptile"
NAME = "supervised_reptile"
LONGEST, PARAMETERS = 40, 6  # of a function, before it is named
SELF_EXPLAINING = 5  # lines
# What must work, and start at once, where TensorFlow takes seconds.
WITHOUT_TENSORFLOW = ("errors", "config", "system", "data", "analysis")


def modules() -> dict[str, Path]:
    """Name below the package -> file, packages' own (empty) modules left out."""
    paths = {path.relative_to(PACKAGE).with_suffix(""): path for path in PACKAGE.rglob("*.py")}
    return {".".join(n.parts): path for n, path in paths.items() if n.name != "__init__"}


MODULES = modules()


def layers() -> dict[str, list[str]]:
    """The list in ARCHITECTURE.md: layer -> patterns of modules, highest first."""
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf8")
    (block,) = re.findall(r"```layers\n(.*?)```", text, re.DOTALL)
    return {line.split()[0]: line.split()[1:] for line in block.splitlines()}


def layer_of(module: str) -> str:
    """The one layer that names `module`; a name of its own counts before a pattern."""
    by_name = [layer for layer, patterns in layers().items() if module in patterns]
    found = by_name or [
        layer
        for layer, patterns in layers().items()
        if any(fnmatch.filter([module], p) for p in patterns)
    ]
    assert len(found) == 1, f"{module} stands in {found or 'no layer'} of ARCHITECTURE.md"
    return found[0]


def imports(tree: ast.AST) -> Iterator[str]:
    """Everything that is imported in `tree`, dotted, names in modules included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own_imports(module: str) -> set[str]:
    """The package's modules that `module` imports, anywhere in it."""
    found = set()
    for name in imports(ast.parse(MODULES[module].read_text(encoding="utf8"))):
        below = name.removeprefix(f"{NAME}.")
        if below != name:
            found |= {below, below.rpartition(".")[0]} & MODULES.keys()
    return found


def test_every_pattern_names_a_module() -> None:
    for patterns in layers().values():
        for pattern in patterns:
            assert fnmatch.filter(MODULES, pattern), pattern


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_down(module: str) -> None:
    order = list(layers())
    for imported in own_imports(module):
        assert order.index(layer_of(module)) <= order.index(layer_of(imported)), imported


def test_imports_have_no_cycle() -> None:
    TopologicalSorter({module: own_imports(module) for module in MODULES}).prepare()


@pytest.mark.parametrize(
    "module", [module for module in MODULES if layer_of(module) in WITHOUT_TENSORFLOW]
)
def test_what_starts_at_once_does_not_load_tensorflow(module: str) -> None:
    tree = ast.parse(MODULES[module].read_text(encoding="utf8"))
    at_once = ast.Module([n for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)], [])
    assert "tensorflow" not in {name.partition(".")[0] for name in imports(at_once)}


# What calls whatever a file names; only `data.layouts.safe_pickle` unpickles, by an allow-list.
RUN_CODE = {"eval", "exec", "compile", "__import__"}
READERS_THAT_RUN_CODE = {
    "pickle", "_pickle", "cPickle", "marshal", "shelve", "dill", "joblib", "yaml", "torch",
    "pandas",
}  # fmt: skip


UNPICKLES = "data.layouts.safe_pickle"


@pytest.mark.parametrize("module", [module for module in MODULES if module != UNPICKLES])
def test_no_file_that_is_read_runs_code(module: str) -> None:
    tree = ast.parse(MODULES[module].read_text(encoding="utf8"))
    assert not READERS_THAT_RUN_CODE & {name.partition(".")[0] for name in imports(tree)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in RUN_CODE, f"line {node.lineno}"
            assert not called.endswith(".load_model"), f"line {node.lineno}"
            options = {option.arg: ast.unparse(option.value) for option in node.keywords}
            if called == "np.load" or "allow_pickle" in options:
                assert options.get("allow_pickle") == "False", f"line {node.lineno}"


def functions() -> Iterator[tuple[str, ast.FunctionDef]]:
    for folder in ("supervised_reptile", "benchmarks"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf8"))):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    yield f"{path.relative_to(ROOT)}: {node.name}", node


def test_long_and_wide_functions_are_named() -> None:
    """Advice, no rule: a function is as long as its idea."""
    for name, node in functions():
        text = ast.get_docstring(node, clean=False) or ""
        taken = [a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
        flags = any("option" in ast.unparse(decorator) for decorator in node.decorator_list)
        lines = node.end_lineno - node.lineno + 1 - len(text.splitlines())
        parameters = 0 if flags else len([a for a in taken if a not in ("self", "cls")])
        if lines > LONGEST or parameters > PARAMETERS:
            warnings.warn(f"{name}: {lines} lines, {parameters} parameters", stacklevel=1)


def public(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.ClassDef]:
    """What a module offers; methods that other libraries' classes prescribe are left out."""
    scopes: list[ast.Module | ast.ClassDef] = [tree]
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            bases = [ast.unparse(base) for base in node.bases]
            scopes += [node] * all("." not in base for base in bases)
    for scope in scopes:
        for node in scope.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                yield node


def says_enough(node: ast.FunctionDef | ast.ClassDef) -> bool:
    """A docstring, a command's help, or a function so short that its name says it."""
    if ast.get_docstring(node):
        return True
    decorators = [ast.unparse(decorator) for decorator in node.decorator_list]
    if any("command(" in text and "help=" in text for text in decorators):
        return True
    return isinstance(node, ast.FunctionDef) and node.end_lineno - node.lineno < SELF_EXPLAINING


def test_modules_and_what_they_offer_are_described() -> None:
    silent = []
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf8"))
        assert ast.get_docstring(tree), path
        silent += [f"{path.name}: {node.name}" for node in public(tree) if not says_enough(node)]
    assert not silent
