"""The file of a boosted model: the text that the library writes, and rollwright's state at its end.

The C++ parsers of the libraries trust their input: lengths of lists become allocations, a cycle among the nodes of a
tree never ends. A file is therefore read in these steps:

1. The state is cut off the end and checked: version, keys and types.
2. The SHA-256 in the state must be that of the rest: this finds damage.
3. The library's module checks the structure of the rest: this finds files that were made by somebody else.
4. The number of features in the trees must be that of the names in the state.
5. Only then does the library parse the text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from rollwright.core.canonical import sha256_hex
from rollwright.errors import CorruptArtifactError, UnsupportedArtifactError
from rollwright.models.state import Kinds, check_state, dump_state, parse_state

__all__ = ["ModelFileError", "ModelFormat"]

_VERSION: Final = 1
_STATE: Final[dict[str, type | tuple[type, ...]]] = {
    "sha256": str,
    "early_stopping_rounds": (int, type(None)),
    "num_boost_round": int,
    "params": dict,
    "best_iteration": int,
    "evals_result": dict,
    "feature_names": list,
}


class ModelFileError(ValueError):
    """What is wrong with a library's model; the caller turns it into an error of rollwright."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFormat:
    """How the state stands at the end of a library's text, so that the library can open the file too.

    Attributes
    ----------
    library : str
        The library, for messages.
    end : str
        The last character of the library's text, which stands after `mark` and the state in the file.
    mark : str
        What separates the text without its `end` from the state; the library ignores what follows it.
    check : callable
        ``check(text)`` returns the number of features; ModelFileError for a text that the parser must not see.
    more_state : mapping
        Keys of the state beyond those of every boosted model, with the type of their values.
    """

    library: str
    mark: str
    end: str
    check: Callable[[str], int]
    more_state: Kinds = field(default_factory=dict)

    def join(self, text: str, state: Mapping[str, Any]) -> str:
        """Return the content of a file: the library's `text` and, at its end, its checksum and `state`.

        Raises
        ------
        UnsupportedArtifactError
            When `split` would refuse it: what cannot be read again is not written.
        TaskValueError
            When a value of `state` has no JSON form.
        """
        try:
            self.check(text)
        except (ModelFileError, CorruptArtifactError) as error:
            raise UnsupportedArtifactError(f"such a model of {self.library} cannot be stored: {error}") from error
        line = dump_state({"version": _VERSION, "sha256": sha256_hex(text.encode()), **state})
        closing = self.end if self.end == "\n" else f"{self.end}\n"
        return f"{text.removesuffix(self.end)}{self.mark}{line}{closing}"

    def split(self, whole: bytes, *, name: str) -> tuple[str, dict[str, Any]]:
        """Return the library's text and the state of a file that `join` wrote; both are checked.

        Parameters
        ----------
        whole : bytes
        name : str
            What messages call the file.

        Raises
        ------
        CorruptArtifactError
            When the state is missing or does not fit the trees, or `check` refuses them.
        """
        try:
            text, mark, rest = whole.decode("utf-8").rpartition(self.mark)
        except UnicodeDecodeError as error:
            raise CorruptArtifactError(f"{name} is not text: {error}") from error
        rest = rest.rstrip()
        ending = self.end.strip()
        if not mark or not rest.endswith(ending):
            raise CorruptArtifactError(
                f"{name} does not end with rollwright's state: it was cut, or is another program's"
            )
        content = parse_state(rest.removesuffix(ending), name=f"the state at the end of {name}")
        state = check_state(content, {**_STATE, **self.more_state}, name=name, version=_VERSION)
        text += self.end
        if state["sha256"] != sha256_hex(text.encode()):
            raise CorruptArtifactError(f"the trees in {name} are not those that were written: their sha256 differs")
        try:
            features = self.check(text)
        except ModelFileError as error:
            raise CorruptArtifactError(f"{name} is not a model of {self.library}: {error}") from error
        named = len(state["feature_names"])
        if features != named:
            raise CorruptArtifactError(f"{name} names {named} features and its trees know {features}")
        return text, state
