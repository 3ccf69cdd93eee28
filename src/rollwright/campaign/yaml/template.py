"""Variables in a YAML file: ``{{ NAME }}`` is the environment variable of that name.

Jinja's syntax, and of its language only what cannot run long, grow large or reach anything: variables, conditions,
``set``, comparisons, arithmetic and a few filters. There are no loops, calls, attributes, macros, includes or imports,
and an undefined name is an error. What stands in a YAML comment is not rendered (defect Q2).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from rollwright.errors import ConfigError, nearest

if TYPE_CHECKING:
    from jinja2 import nodes
    from jinja2.sandbox import ImmutableSandboxedEnvironment

__all__ = ["Rendered", "render"]

MAX_CHARACTERS: Final = 1 << 16
MAX_JOINED: Final = 1 << 12
MAX_DEPTH: Final = 64
MAX_ITEMS: Final = 100
MAX_BITS: Final = 128
MAX_PLACES: Final = 20
FILTERS: Final = (
    "abs", "capitalize", "d", "default", "first", "float", "int", "last", "length", "lower", "round", "string", "title",
    "trim", "upper",
)  # fmt: skip
LANGUAGE: Final = frozenset((
    "Template", "Output", "TemplateData", "Name", "Const", "If", "CondExpr", "Assign", "Filter", "Test", "Compare",
    "Operand", "And", "Or", "Not", "Neg", "Pos", "Add", "Sub", "Mul", "Div", "FloorDiv", "Mod", "Getitem", "Slice",
    "List", "Tuple", "Keyword",
))  # fmt: skip
_ENDS: Final = {"{{": "}}", "{%": "%}", "{#": "#}"}
_OPENS: Final = re.compile(r"\{[{%#]")
_BLOCK: Final = re.compile(r"(?:^|[\s:])[|>][+-]?\d?[+-]?\s*$")
_MARK: Final = re.compile("\0(\\d+)\0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """A text with its variables filled.

    Attributes
    ----------
    text : str
    lines : tuple of int or None
        The line of the file, from 1, that each line of `text` comes from; None when nothing was rendered.
    """

    text: str
    lines: tuple[int, ...] | None = None

    def line(self, number: int) -> int:
        """Return the line of the file, from 1, that line `number` of the text, from 0, comes from."""
        if self.lines is None or not self.lines:
            return number + 1
        return self.lines[min(number, len(self.lines) - 1)]


def render(text: str, *, name: str, environ: Mapping[str, str] | None = None) -> Rendered:
    """Return `text` with its variables filled.

    Parameters
    ----------
    text : str
    name : str
        Of the file, for errors.
    environ : mapping, optional
        Where values come from; the process's environment if not given. Only names that the text uses are read.

    Raises
    ------
    ConfigError
        For names that nothing defines, all of them at once; for what the language does not have; when the result is
        larger than 64 Ki characters; and for what would take long on the way to it: nesting deeper than 64, lists of
        more than 100 items or within one another, numbers of more than 128 bits.
    """
    # 1. Empty the comments that hold a tag. 2. Parse, and refuse what the small language does not have. 3. Read only
    # the names that the text uses. 4. Render, with a mark before each line. 5. Turn the marks into line numbers.
    source = _mute_comments(text)
    if not _OPENS.search(source):
        return Rendered(text=text)
    if "\0" in source:
        raise ConfigError(f"{name} holds a NUL character")
    from jinja2 import TemplateError  # noqa: PLC0415 - most files have no variables

    environment = _make_environment()
    values = os.environ if environ is None else environ
    try:
        tree = environment.parse(source)
        _check_depth(tree, name)
        _check_language(tree, name)
        _check_lists(tree, name)
        wanted = _find_free_names(tree)
        known = {key: values[key] for key in wanted if key in values}
        marked = _generate(environment, source, known, name)
    except TemplateError as error:
        undefined = _describe_missing(tree, wanted, values, name) if type(error).__name__ == "UndefinedError" else []
        if undefined:
            raise ConfigError("\n".join(undefined), hint="set it in the environment of the command") from error
        raise ConfigError(f"{name}:{_find_line(error)}: {error.message or type(error).__name__}") from error
    except (RecursionError, MemoryError, SyntaxError) as error:  # of the parsers, Jinja's and Python's
        raise ConfigError(f"{name}: a template is nested deeper than {MAX_DEPTH}") from error
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise ConfigError(f"{name}:{_find_line(error)}: {error}") from error
    return _remove_marks(marked)


def _make_environment() -> ImmutableSandboxedEnvironment:
    from jinja2 import StrictUndefined  # noqa: PLC0415 - most files have no variables
    from jinja2.ext import Extension  # noqa: PLC0415 - most files have no variables
    from jinja2.lexer import Token, TokenStream  # noqa: PLC0415 - most files have no variables
    from jinja2.sandbox import ImmutableSandboxedEnvironment  # noqa: PLC0415 - most files have no variables

    class LineMarks(Extension):
        """Writes its number before each line of the text between tags, so that the result can be led back."""

        def filter_stream(self, stream: TokenStream) -> Iterator[Token]:
            for token in stream:
                if token.type != "data":
                    yield token
                    continue
                lines = token.value.split("\n")
                marked = [f"\0{token.lineno + step}\0{line}" for step, line in enumerate(lines)]
                yield Token(token.lineno, "data", "\n".join(marked))

    class Bounded(ImmutableSandboxedEnvironment):
        """Arithmetic on numbers only; texts may be joined up to a length."""

        intercepted_binops = frozenset(ImmutableSandboxedEnvironment.default_binop_table)

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            if isinstance(left, StrictUndefined) or isinstance(right, StrictUndefined):
                return super().call_binop(context, operator, left, right)  # which says what is undefined
            _check_operands(operator, left, right)
            return super().call_binop(context, operator, left, right)

    environment = Bounded(undefined=StrictUndefined, extensions=[LineMarks], keep_trailing_newline=True, cache_size=0)
    environment.globals.clear()
    environment.filters = {key: value for key, value in environment.filters.items() if key in FILTERS}
    environment.filters["round"] = _round_number
    return environment


def _check_operands(operator: str, left: Any, right: Any) -> None:
    """Refuse arithmetic of anything but numbers, of large ones, and texts that would get long when joined."""
    if operator == "+" and isinstance(left, str) and isinstance(right, str):
        if len(left) + len(right) > MAX_JOINED:
            raise ValueError(f"a text longer than {MAX_JOINED:,} characters")
    elif not (isinstance(left, int | float) and isinstance(right, int | float)):
        raise TypeError(f"`{operator}` of {type(left).__name__} and {type(right).__name__}; use `| int`")
    elif any(isinstance(number, int) and number.bit_length() > MAX_BITS for number in (left, right)):
        raise ValueError(f"a number of more than {MAX_BITS} bits")


def _round_number(value: Any, precision: int = 0, method: Any = "common") -> Any:
    from jinja2.filters import do_round  # noqa: PLC0415 - most files have no variables

    if abs(precision) > MAX_PLACES:  # 10 to that power is computed
        raise ValueError(f"`round` to more than {MAX_PLACES} places")
    return do_round(value, precision, method)


def _check_depth(tree: nodes.Template, name: str) -> None:
    """Refuse what nests so deeply that the walks after this one, which call themselves, would end in an error."""
    level: list[nodes.Node] = [tree]
    for _ in range(MAX_DEPTH):
        level = [child for node in level for child in node.iter_child_nodes()]
    if level:
        raise ConfigError(f"{name}:{level[0].lineno}: a template is nested deeper than {MAX_DEPTH}")


def _check_lists(tree: nodes.Template, name: str) -> None:
    """Refuse long lists, and lists within lists, whose text doubles with each level.

    1. Find the variables that may hold a list: set from a list, or from another such variable.
    2. Refuse a list among whose items is a list or such a variable.
    """
    from jinja2 import nodes  # noqa: PLC0415 - most files have no variables

    holders: set[str] = set()
    for each in tree.find_all(nodes.Assign):  # in the order of the text: a variable is set before it is used
        if _may_be_list(each.node, holders):
            targets = [each.target, *each.target.find_all(nodes.Name)]
            holders |= {target.name for target in targets if isinstance(target, nodes.Name)}
    found: list[nodes.List | nodes.Tuple] = [*tree.find_all(nodes.List), *tree.find_all(nodes.Tuple)]
    for literal in found:
        if len(literal.items) > MAX_ITEMS:
            raise ConfigError(f"{name}:{literal.lineno}: a list of more than {MAX_ITEMS} items in a template")
        if any(_may_be_list(item, holders) for item in literal.items):
            raise ConfigError(f"{name}:{literal.lineno}: a list within a list in a template", hint="write it as YAML")


def _may_be_list(node: nodes.Node, holders: set[str]) -> bool:
    """Tell whether an expression has a list in it, or one of the variables that may hold one."""
    from jinja2 import nodes  # noqa: PLC0415 - most files have no variables

    parts = [node, *node.find_all(nodes.Node)]
    return any(
        isinstance(part, nodes.List | nodes.Tuple) or (isinstance(part, nodes.Name) and part.name in holders)
        for part in parts
    )


def _check_language(tree: nodes.Template, name: str) -> None:
    from jinja2 import nodes  # noqa: PLC0415 - most files have no variables

    for node in tree.find_all(nodes.Node):
        kind = type(node).__name__
        if kind not in LANGUAGE:
            raise ConfigError(
                f"{name}:{node.lineno}: a template has no {kind.lower()} here",
                hint="there are variables, conditions, `set`, arithmetic and the filters " + ", ".join(FILTERS),
            )


def _find_free_names(tree: nodes.Template) -> set[str]:
    from jinja2.meta import find_undeclared_variables  # noqa: PLC0415 - most files have no variables

    return find_undeclared_variables(tree)


def _generate(environment: ImmutableSandboxedEnvironment, source: str, values: Mapping[str, str], name: str) -> str:
    parts: list[str] = []
    size = 0
    for part in environment.from_string(source).generate(values):
        size += len(part)
        if size > 2 * MAX_CHARACTERS:  # the marks of the lines are counted too
            raise ConfigError(f"{name} renders to more than {MAX_CHARACTERS:,} characters")
        parts.append(part)
    return "".join(parts)


def _describe_missing(tree: nodes.Template, wanted: set[str], values: Mapping[str, str], name: str) -> list[str]:
    from jinja2 import nodes  # noqa: PLC0415 - most files have no variables

    guarded = [asked.node for asked in tree.find_all(nodes.Filter) if asked.name in ("d", "default")]
    guarded += [asked.node for asked in tree.find_all(nodes.Test) if asked.name in ("defined", "undefined")]
    seen: dict[str, int] = {}
    for node in tree.find_all(nodes.Name):
        if node.name in wanted and node.name not in values and not any(node is other for other in guarded):
            seen.setdefault(node.name, node.lineno)
    said = []
    for variable, line in seen.items():
        near = nearest(variable, values)
        said.append(f"{name}:{line}: nothing defines `{variable}`" + (f"; did you mean `{near}`?" if near else ""))
    return said


def _find_line(error: BaseException) -> int:
    """Return the line of the template that an error of its rendering or parsing belongs to."""
    line = getattr(error, "lineno", None) or 1
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<template>":
            line = trace.tb_lineno
        trace = trace.tb_next
    return int(line)


def _remove_marks(marked: str) -> Rendered:
    texts: list[str] = []
    lines: list[int] = []
    line = 1
    for part in marked.split("\n"):
        mark = _MARK.search(part)
        line = int(mark.group(1)) if mark else line
        texts.append(_MARK.sub("", part))
        lines.append(line)
    return Rendered(text="\n".join(texts), lines=tuple(lines))


def _mute_comments(text: str) -> str:
    """Return `text` with the YAML comments that hold a tag of the template emptied; every line stays."""
    if not _OPENS.search(text):
        return text
    scanner = _Scanner()
    return "".join(scanner.line(line) for line in text.splitlines(keepends=True))


class _Scanner:
    """Knows, line by line, what is a comment: not what is quoted, in a block text, or in a tag of the template."""

    def __init__(self) -> None:
        self.quote = ""
        self.tag_end = ""
        self.block: int | None = None

    def line(self, line: str) -> str:
        """Return one line, its comment emptied when it holds a tag."""
        if self.block is not None and not self.tag_end:
            if not line.strip() or len(line) - len(line.lstrip(" ")) > self.block:
                return line
            self.block = None
        end = self._find_content_end(line)
        content, comment = line[:end], line[end:]
        if not self.quote and not self.tag_end and _BLOCK.search(content):
            self.block = _measure_indent(content)
        if _OPENS.search(comment):
            return content + "#" + ("\n" if line.endswith("\n") else "")
        return line

    def _find_content_end(self, line: str) -> int:
        """Return where the comment of `line` begins, or its length."""
        at = 0
        while at < len(line):
            if self.tag_end:
                end = line.find(self.tag_end, at)
                if end < 0:
                    return len(line)
                at, self.tag_end = end + 2, ""
            elif line[at : at + 2] in _ENDS:
                self.tag_end = _ENDS[line[at : at + 2]]
                at += 2
            elif self.quote:
                at += self._step_in_quotes(line, at)
            elif line[at] in "'\"" and _starts_scalar(line[:at]):
                self.quote = line[at]
                at += 1
            elif line[at] == "#" and (at == 0 or line[at - 1] in " \t"):
                return at
            else:
                at += 1
        return len(line)

    def _step_in_quotes(self, line: str, at: int) -> int:
        if self.quote == '"' and line[at] == "\\":
            return 2
        if line[at] != self.quote:
            return 1
        if self.quote == "'" and line[at : at + 2] == "''":
            return 2
        self.quote = ""
        return 1


def _starts_scalar(before: str) -> bool:
    words = before.split()
    return not words or before.rstrip()[-1] in "[{,:-?" or words[-1][0] in "&!"


def _measure_indent(content: str) -> int:
    lead = re.match(r" *(?:- +)*", content)
    indent = lead.end() if lead else 0
    return indent - 2 if content[indent : indent + 1] in "|>" else indent
