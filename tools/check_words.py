"""Words that were retired stay retired: in names, in comments and messages of `src`, in test names, in the pages.

One name means one thing, and it is the word an engineer would search for. `docs/glossary.md` lists the words in use;
`RETIRED` lists those that are not, each with its replacement. It also finds a dotted name of rollwright's that names no
module and two public classes of one name, and holds the share of functions that are named by a participle (`sent`) in
place of a verb (`send`).
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from finding import ROOT, Finding, python_files, tell

NAME: Final = "name"
MODULE: Final = "module"
TEXT: Final = "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """A word that was retired.

    Attributes
    ----------
    words : tuple of str
        Its forms, in lower case; several words in one form are separated by a space.
    use : str
        What stands in its place.
    where : tuple of str
        Where it is retired: as a part of a `name`, as the name of a `module`, in a `text`. Many are ordinary words
        elsewhere.
    """

    words: tuple[str, ...]
    use: str
    where: tuple[str, ...]


def _word(forms: str, use: str, *where: str) -> Word:
    return Word(words=tuple(form.strip() for form in forms.split(",")), use=use, where=where)


RETIRED: Final = (
    _word("bell, bells, doorbell, doorbells", "notifier, notify", NAME, MODULE, TEXT),
    _word("doorman, doormen", "store listener", NAME, MODULE, TEXT),
    _word("nudge, nudges, nudged", "wake up, wakeup pipe", NAME, MODULE, TEXT),
    _word("stopper", "signal handler", NAME, MODULE, TEXT),
    _word("attention", "wakeup", NAME, MODULE),
    _word("outage, outages", "reconnect", NAME, MODULE),
    _word("borne", "retried, retry policy", NAME, TEXT),
    _word("bear, bears", "retry", NAME),
    _word("apart", "isolated", NAME, MODULE),
    _word("wish, wishes", "claim request", NAME, MODULE, TEXT),
    _word("presence", "liveness", NAME, MODULE, TEXT),
    _word("asking, changes, link", "reads, writes, connection", MODULE),
    _word("place, places", "location", MODULE),
    _word("ambient", "current (context, market), facade", NAME, MODULE, TEXT),
    _word("active", "run stack", MODULE),
    _word("logged, pending", "log buffer", MODULE),
    _word("columns", "arrow encoding", MODULE),
    _word("born, unborn", "created", NAME, TEXT),
    _word("intake", "readers", NAME, MODULE, TEXT),
    _word("overlay", "merge", MODULE),
    _word("publication", "atomic replace", NAME, MODULE, TEXT),
    _word("pin", "folder identity", MODULE),
    _word("tail", "recent sessions", MODULE),
    _word("foreign", "external", NAME, MODULE),
    _word("acceptance", "adopt changes", NAME, MODULE, TEXT),
    _word("give back, let go", "trim, drop", NAME),
    _word("confine, confines, confined, confinement", "sandbox", NAME, MODULE, TEXT),
    _word("unfold, unfolds, unfolded, unfolding", "decompress, decompression limit", NAME, MODULE, TEXT),
    _word("surroundings", "environment, qlib_init", NAME, MODULE, TEXT),
    _word("horizon", "label leak", MODULE),
    _word("rung, rungs", "level", NAME, TEXT),
    _word("stranger, strangers", "unexpected rows", NAME, TEXT),
    _word("holes and doubles, no doubles, or doubles", "missing or duplicate rows", TEXT),
    _word("vouch, vouches, vouched", "sign, signer", NAME, TEXT),
    _word("told, watched", "a verb: record, watch", MODULE),
    _word("the seeds, seeds'", "Qlib", TEXT),
)
# (file, word): why it stands there.
ALLOWED: Final[dict[tuple[str, str], str]] = {
    ("src/rollwright/tasks/variants.py", "the seeds"): "those of the random numbers",
    ("docs/pool.md", "bells"): "the name of a file beside a pool on SQLite",
}
# It says where classes stood before, so that old files are understood.
FORMER_NAMES: Final = frozenset({"src/rollwright/registrations.py"})
# Decision records say what was decided then, in the words of then; the change log says what was renamed.
HISTORY: Final = ("docs/decisions/", "CHANGELOG.md")

# A method that returns a changed copy of a value may say so (`shifted`), as Python's own `sorted` does.
MAX_PARTICIPLES: Final = 0.02
NO_PARTICIPLES: Final = frozenset({"embed", "exceed", "feed", "need", "proceed", "seed", "speed", "succeed"})
IRREGULAR: Final = frozenset(
    {
        "begun", "born", "bought", "bound", "brought", "built", "chosen", "done", "drawn", "driven", "given", "gone",
        "grown", "heard", "held", "hidden", "kept", "known", "laid", "lent", "lost", "made", "meant", "met", "paid",
        "said", "seen", "sent", "shown", "sold", "spent", "spoken", "stood", "taken", "taught", "thought", "thrown",
        "told", "torn", "understood", "woken", "worn", "written",
    }
)  # fmt: skip

_PARTS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_DOTTED: Final = re.compile(r"(?<![\w./:@-])rollwright((?:\.\w+)+)")
_FORMER_PACKAGES: Final = frozenset({"data", "model", "record", "train"})


def findings() -> Iterator[Finding]:
    """Yield every retired word, and every dotted name that names no module."""
    classes: dict[str, list[tuple[Path, int]]] = {}
    participles, functions = [], 0
    for path in python_files("src"):
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
        nodes = [*ast.walk(tree)]
        yield from _in_names(path, nodes)
        if _TEXT.search(text) or not all(_names_module(name) for name in _DOTTED.findall(text)):
            # telling prose from code takes longest: only where there is something to find
            yield from _in_lines(path, _prose(text))
        total, found = _find_participles(path, nodes)
        functions += total
        participles += found
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                classes.setdefault(node.name, []).append((path, node.lineno))
    for path in python_files("tests"):
        yield from _in_test_names(path)
    for path in sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]):
        name = path.relative_to(ROOT).as_posix()
        if not name.startswith(HISTORY):
            yield from _in_lines(path, enumerate(path.read_text(encoding="utf-8").splitlines(), start=1))
    if len(participles) > MAX_PARTICIPLES * functions:
        yield from participles
    yield from _equal_names(classes)


def _retired(where: str) -> dict[str, Word]:
    return {form: word for word in RETIRED if where in word.where for form in word.words}


_TEXT: Final = re.compile(rf"(?<!\w)({'|'.join(map(re.escape, _retired(TEXT)))})(?!\w)", re.IGNORECASE)


def _in_names(path: Path, nodes: Iterable[ast.AST]) -> Iterator[Finding]:
    if (module := _retired(MODULE).get(path.stem)) is not None:
        yield _finding(path, 1, path.stem, module)
    named = _retired(NAME)
    for line, name in _defined(nodes):
        yield from _in_name(path, line, name, named)


def _in_name(path: Path, line: int, name: str, named: dict[str, Word]) -> Iterator[Finding]:
    split = f" {' '.join(part.lower() for part in _PARTS.findall(name))} "
    for form, word in named.items():
        if f" {form} " in split:
            yield _finding(path, line, form, word)


def _defined(nodes: Iterable[ast.AST]) -> Iterator[tuple[int, str]]:
    """Yield every name that a module defines: classes, functions, arguments, variables, attributes."""
    for node in nodes:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.attr


def _prose(text: str) -> Iterator[tuple[int, str]]:
    """Yield what a module says: its comments, docstrings and messages, line by line."""
    fstring = getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)  # f-strings are one token before Python 3.12
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in (tokenize.COMMENT, tokenize.STRING, fstring):
            for offset, line in enumerate(token.string.splitlines()):
                yield token.start[0] + offset, line


def _in_lines(path: Path, lines: Iterator[tuple[int, str]]) -> Iterator[Finding]:
    retired = _retired(TEXT)
    for number, line in lines:
        for match in _TEXT.finditer(line):
            form = match[1].lower()
            yield from _unless_allowed(path, number, form, retired[form])
        for match in _DOTTED.finditer(line):
            former = path.relative_to(ROOT).as_posix() in FORMER_NAMES
            if not former and not _names_module(match[1]):
                yield Finding(path=path, line=number, text=f"`rollwright{match[1]}` names no module of rollwright")


@cache
def _names_module(dotted: str) -> bool:
    """Tell whether what begins as the name of a package, one of today or of before, names a module of today.

    Anything else of the form `rollwright.toml` or `rollwright.day` is no module's name and was not meant as one.
    """
    parts = dotted.split(".")[1:]
    folder = ROOT / "src" / "rollwright"
    if parts[0] not in _FORMER_PACKAGES and not (folder / parts[0]).is_dir():
        return True
    for part in parts:
        if (folder / f"{part}.py").is_file():
            return True
        if not (folder / part).is_dir():
            return False
        folder /= part
    return True


def _in_test_names(path: Path) -> Iterator[Finding]:
    named = _retired(TEXT)  # the name of a test is a sentence
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            yield from _in_name(path, node.lineno, node.name, named)


def _find_participles(path: Path, nodes: Iterable[ast.AST]) -> tuple[int, list[Finding]]:
    """Return how many functions a module has, and those that are named by a participle."""
    found: list[Finding] = []
    total = 0
    for node in nodes:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or _is_property(node):
            continue
        total += 1
        if _is_participle(node.name.strip("_").partition("_")[0]):
            text = f"`{node.name}` is a participle; a function is a verb (at most {MAX_PARTICIPLES:.0%} may be)"
            found.append(Finding(path=path, line=node.lineno, text=text))
    return total, found


def _equal_names(places: Mapping[str, list[tuple[Path, int]]]) -> Iterator[Finding]:
    """Yield the public classes that have the name of another one."""
    for name, found in places.items():
        for path, line in found[1:]:
            other = found[0][0].relative_to(ROOT).as_posix()
            yield Finding(path=path, line=line, text=f"`{name}` is the name of a class in {other} too")


def _is_participle(word: str) -> bool:
    return word in IRREGULAR or (word.endswith("ed") and word not in NO_PARTICIPLES)


def _is_property(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any("property" in ast.unparse(decorator) for decorator in node.decorator_list)


def _unless_allowed(path: Path, line: int, form: str, word: Word) -> Iterator[Finding]:
    if (path.relative_to(ROOT).as_posix(), form) not in ALLOWED:
        yield _finding(path, line, form, word)


def _finding(path: Path, line: int, form: str, word: Word) -> Finding:
    return Finding(path=path, line=line, text=f"`{form}` was retired; use: {word.use}")


if __name__ == "__main__":
    sys.exit(tell("words", findings()))
