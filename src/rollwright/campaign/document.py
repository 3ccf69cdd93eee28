"""Reading a YAML file so that every complaint can say where.

YAML 1.2: ``no`` is a text and ``1e-3`` a number. A duplicate key, a tab, an alias bomb or a tag that would build an
object is an error with its line.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.constructor import ConstructorError, DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

from rollwright.errors import ConfigError

__all__ = ["Document", "parse_scalar", "read_document"]

MAX_BYTES: Final = 1 << 20
MAX_NODES: Final = 100_000
MAX_DEPTH: Final = 64

KeyPath = Sequence["str | int"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A YAML mapping, its text, and where everything stands.

    Attributes
    ----------
    path : Path
    text : str
    data : dict
        Plain dictionaries, lists, dates, numbers and texts.
    """

    path: Path
    text: str
    data: dict[str, Any]
    root: Node

    def where(self, keys: KeyPath) -> str:
        """Return ``file:line:column`` of the value at `keys`, or of its nearest parent that exists."""
        node = self.root
        for key in keys:
            found = _child(node, key)
            if found is None:
                break
            node = found
        mark = node.start_mark
        return f"{self.path}:{mark.line + 1}:{mark.column + 1}"

    def where_key(self, keys: KeyPath) -> str:
        """Return ``file:line:column`` of the key that ends `keys`."""
        node: Node | None = self.root
        for key in keys[:-1]:
            node = _child(node, key) if node is not None else None
        if isinstance(node, MappingNode):
            for name, _ in node.value:
                if name.value == keys[-1]:
                    return f"{self.path}:{name.start_mark.line + 1}:{name.start_mark.column + 1}"
        return self.where(keys)

    def anchored(self) -> set[str]:
        """Return the top-level keys that only define an anchor for use elsewhere in the file."""
        if not isinstance(self.root, MappingNode):
            return set()
        return {key.value for key, value in self.root.value if value.anchor is not None}


def read_document(path: Path) -> Document:
    """Read the YAML file `path`.

    Raises
    ------
    ConfigError
        When there is no such file, it is no YAML mapping, larger than 1 MiB, nested deeper than 64, or expands to more
        than 100,000 values; with file, line and column.
    """
    text = _text(path)
    yaml = YAML(typ="safe", pure=True)
    yaml.allow_duplicate_keys = False
    try:
        root = yaml.compose(text)
        if root is not None:
            _check_size(root, path)
        data = yaml.load(text)
    except DuplicateKeyError as error:
        line = _mark(error, path)
        raise ConfigError(f"{line}: a key stands twice: {_short(error)}", hint="keep one of the two") from error
    except ConstructorError as error:
        raise ConfigError(
            f"{_mark(error, path)}: {_short(error)}", hint="tags that build objects are refused"
        ) from error
    except MarkedYAMLError as error:
        hint = "indent with spaces" if "\t" in text else None
        raise ConfigError(f"{_mark(error, path)}: this is not YAML: {_short(error)}", hint=hint) from error
    except (YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: this is not YAML: {error}") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: a mapping of keys is needed, this is {type(data).__name__}")
    for key in data:
        if not isinstance(key, str):
            raise ConfigError(f"{path}: key {key!r} is {type(key).__name__}, not text")
    return Document(path=path, text=text, data=data, root=root)


def parse_scalar(text: str) -> Any:
    """Return the value that `text` has as YAML: a number, a date, a text or a list.

    Raises
    ------
    ConfigError
        When it is not YAML.
    """
    try:
        return YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        raise ConfigError(f"`{text}` is not YAML") from error


def _text(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except FileNotFoundError as error:
        raise ConfigError(f"there is no file {path}") from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    if len(raw) > MAX_BYTES:
        raise ConfigError(f"{path} has {len(raw):,} bytes, more than {MAX_BYTES:,}")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8: {error.reason} at byte {error.start}") from error


def _check_size(root: Node, path: Path) -> None:
    """Count the values as they will be, aliases expanded, before anything is built from them."""
    sizes: dict[int, int] = {}

    def size(node: Node, depth: int) -> int:
        if depth > MAX_DEPTH:
            raise ConfigError(f"{path}:{node.start_mark.line + 1}: nested deeper than {MAX_DEPTH}")
        if id(node) not in sizes:
            sizes[id(node)] = 0  # an alias to a parent would never end
            sizes[id(node)] = 1 + sum(size(child, depth + 1) for child in _children(node))
        return sizes[id(node)]

    if size(root, 0) > MAX_NODES:
        raise ConfigError(f"{path}: its aliases expand to more than {MAX_NODES:,} values")


def _children(node: Node) -> Iterator[Node]:
    if isinstance(node, MappingNode):
        for key, value in node.value:
            yield key
            yield value
    elif isinstance(node, SequenceNode):
        yield from node.value


def _child(node: Node, key: str | int) -> Node | None:
    if isinstance(node, MappingNode):
        return next((value for name, value in node.value if name.value == str(key)), None)
    if isinstance(node, SequenceNode) and isinstance(key, int) and key < len(node.value):
        found: Node = node.value[key]
        return found
    return None


def _mark(error: MarkedYAMLError, path: Path) -> str:
    mark = error.problem_mark or error.context_mark
    return f"{path}:{mark.line + 1}:{mark.column + 1}" if mark is not None else str(path)


def _short(error: MarkedYAMLError) -> str:
    return str(error.problem or error.context or error).splitlines()[0]
