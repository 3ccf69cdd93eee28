"""The operators that expressions may call: the built-in ones, and those the user registers."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from rollwright.config.construct import get_class
from rollwright.config.context import GIVEN_CLASSES, current_settings
from rollwright.errors import ConfigError, ConstructError
from rollwright.expression.operators.cross_section import CROSS_SECTION
from rollwright.expression.operators.custom import operator_of_class
from rollwright.expression.operators.elementwise import ELEMENTWISE
from rollwright.expression.operators.loaded_code import digest_of_code
from rollwright.expression.operators.pair import PAIR
from rollwright.expression.operators.registry import Operator, OperatorTable
from rollwright.expression.operators.resample import RESAMPLE
from rollwright.expression.operators.rolling import ROLLING
from rollwright.expression.operators.vintage import VINTAGE
from rollwright.expression.ops import ExpressionOps

__all__ = ["OPERATORS", "known_operators", "own_code", "register", "register_classes"]

OPERATORS: Final = OperatorTable([*ELEMENTWISE, *ROLLING, *PAIR, *CROSS_SECTION, *RESAMPLE, *VINTAGE])


def register(*operators: Operator) -> None:
    """Make operators of your own callable in expressions, in this process.

    A worker process knows them when it imports the module that registers them.

    Raises
    ------
    ConfigError
        When a name is taken by a built-in operator: an expression must mean one thing.
    """
    OPERATORS.add(*(one if one.code else replace(one, code=digest_of_code(one.compute)) for one in operators))


def register_classes(*classes: type[ExpressionOps]) -> None:
    """Make operators of your own callable that are classes; one that is redefined takes the place of the former.

    Raises
    ------
    ConfigError
        For a class that is no operator, and for the name of a built-in one.
    """
    for cls in classes:
        if not (isinstance(cls, type) and issubclass(cls, ExpressionOps)):
            raise ConfigError(
                f"{cls!r} is no operator",
                hint="derive it from rollwright.expression.ops.ElemOperator or another base there",
            )
        code = digest_of_code(cls)
        known = OPERATORS.find(cls.__name__)
        if known is None or known.code != code or _classes.get(cls.__name__) is not cls:
            OPERATORS.add(operator_of_class(cls))
            _classes[cls.__name__] = cls


def known_operators() -> Mapping[str, Operator]:
    """Return the operators that expressions may call here, with those that the setting ``data.custom_ops`` names.

    Raises
    ------
    UntrustedModuleError, ConstructError
        When the settings name a class that is not trusted, is not there, or is no operator.
    """
    named = current_settings().data.custom_ops
    if named and named is not _Named.loaded:  # another object: settings were made anew, and files may have changed
        with _Named.mutex:
            register_classes(*map(_class_of, named))
            _Named.loaded = named
    return OPERATORS.operators


def own_code(names: Iterable[str] | None = None) -> dict[str, str]:
    """Return the digests of the code of operators of your own: of those among `names`, of all if not given."""
    found = {name: operator.code for name, operator in known_operators().items() if operator.code}
    return found if names is None else {name: found[name] for name in names if name in found}


class _Named:
    """The setting that was loaded last: a value any call can make again."""

    loaded: tuple[str, ...] = ()
    mutex: Final = threading.RLock()


_classes: dict[str, type] = {}


def _class_of(name: str) -> type:
    given = GIVEN_CLASSES.get(name)
    if given is not None:
        return given
    module, _, found = name.rpartition(":")
    if module == "__main__":
        raise ConstructError(
            f"operator `{found}` was defined in the program that was started, which another process cannot import",
            hint="put it into a module, and give it from there: custom_ops=[my_operators.Mine]",
        )
    return get_class({"class": found, "module_path": module}, slot="operator")[0]
