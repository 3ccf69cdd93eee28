"""What no file of the project may say: machine paths, package-index addresses, unfinished business, pickles.

And what every public class and function of `src` has: a docstring, and no mutable default.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, TypeAlias

from finding import ROOT, Finding, python_files, tell

Definition: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef

THIS: Final = Path(__file__).resolve()
FORBIDDEN: Final = (
    (re.compile(r"(?<![\w.~<$}-])/(?:work|root|home|Users|opt/wheels|tmp)/\w"), "a path of one machine"),
    (re.compile(r"(?:--(?:extra-)?index-url|--find-links|find-links\s*=|\bindex-url\s*=)"), "a package-index option"),
    (re.compile(r"https?://(?:[\w.-]*\.)?(?:pypi\.org|pythonhosted\.org|pypi\.[\w.]+)"), "a package-index address"),
    (re.compile(r"\b(?:TODO|FIXME|XXX|HACK)\b"), "unfinished business; file an issue instead"),
)
# Where a pickler may be named: the one module that unpickles what was signed; `Serializable`, which calls it;
# and the reader of foreign pickles, whose `find_class` looks nothing up.
PICKLE_ALLOWED: Final = frozenset({
    "src/rollwright/signing/unpickling.py",
    "src/rollwright/signing/serializable.py",
    "src/rollwright/compat/pickle_reader.py",
})  # fmt: skip
PICKLES: Final = frozenset({"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"})


def findings() -> Iterator[Finding]:
    """Yield every line that breaks one of the rules."""
    for path in _tracked():
        yield from _lines(path)
    for path in python_files("src"):
        yield from _tree(path)


def _tracked() -> Iterator[Path]:
    command = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    listing = subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout
    for name in listing.decode().split("\0"):
        path = ROOT / name
        if name and path != THIS and path.is_file():
            yield path


def _lines(path: Path) -> Iterator[Finding]:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:  # a picture or a fixture of bytes
        return
    if len(text) > 1_000_000:  # a vendored bundle
        return
    suspects = [(pattern, what) for pattern, what in FORBIDDEN if pattern.search(text)]
    if not suspects:
        return
    for number, line in enumerate(text.splitlines(), start=1):
        for pattern, what in suspects:
            if pattern.search(line):
                yield Finding(path=path, line=number, text=what)


def _tree(path: Path) -> Iterator[Finding]:
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    if ast.get_docstring(tree) is None:
        yield Finding(path=path, line=1, text="the module has no docstring")
    may_pickle = path.relative_to(ROOT).as_posix() in PICKLE_ALLOWED
    for node in ast.walk(tree):
        if not may_pickle:
            yield from _pickles(node, path)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _defaults(node, path)
    yield from _docstrings(tree, path)


def _pickles(node: ast.AST, path: Path) -> Iterator[Finding]:
    names: list[str] = []
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        names = [node.module or ""]
    elif isinstance(node, ast.Attribute) and node.attr in ("read_pickle", "to_pickle"):
        names = ["pickle"]
    if PICKLES.intersection(name.partition(".")[0] for name in names):
        yield Finding(path=path, line=getattr(node, "lineno", 1), text="pickles; use a codec of rollwright.codecs")


def _defaults(node: ast.FunctionDef | ast.AsyncFunctionDef, path: Path) -> Iterator[Finding]:
    for default in (*node.args.defaults, *node.args.kw_defaults):
        if isinstance(default, ast.List | ast.Dict | ast.Set | ast.ListComp | ast.DictComp | ast.SetComp):
            yield Finding(path=path, line=default.lineno, text=f"`{node.name}` has a mutable default")


def _docstrings(parent: ast.Module | ast.ClassDef, path: Path) -> Iterator[Finding]:
    for node in parent.body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) or node.name.startswith("_"):
            continue
        if ast.get_docstring(node) is None and not _exempt(node):
            yield Finding(path=path, line=node.lineno, text=f"public `{node.name}` has no docstring")
        if isinstance(node, ast.ClassDef):
            yield from _docstrings(node, path)


def _exempt(node: Definition) -> bool:
    """Tell whether the docstring stands elsewhere: at an overload's implementation, at the getter, in a test's name."""
    if node.name.startswith("test_"):
        return True
    decorators = {ast.unparse(decorator).rpartition(".")[2] for decorator in node.decorator_list}
    return bool(decorators & {"overload", "setter", "deleter", "override"})


if __name__ == "__main__":
    sys.exit(tell("text", findings()))
