"""Filters of a universe, by Qlib's names: each turns into its configuration, which `features.universe` applies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

from rollwright.calendar.trading import to_session
from rollwright.codecs.described import Described
from rollwright.config.construct import init_instance_by_config
from rollwright.errors import ConfigError

__all__ = ["ExpressionDFilter", "NameDFilter", "SeriesDFilter", "filter_configs"]


class SeriesDFilter(Described):
    """Base class: removes sessions of instruments from a universe, between two dates.

    Parameters
    ----------
    fstart_time, fend_time : date, optional
        The closed range in which the filter applies; open if not given.
    keep : bool
        Whether an instrument without data in that range stays.
    """

    def __init__(
        self,
        fstart_time: Any = None,
        fend_time: Any = None,
        keep: bool = False,  # noqa: FBT001, FBT002 - Qlib's signature
    ) -> None:
        self.filter_start_time = None if fstart_time is None else str(to_session(fstart_time))
        self.filter_end_time = None if fend_time is None else str(to_session(fend_time))
        self.keep = keep

    def to_config(self) -> dict[str, Any]:
        """Return the configuration for ``filter_pipe``."""
        return {
            "filter_type": type(self).__name__,
            "filter_start_time": self.filter_start_time,
            "filter_end_time": self.filter_end_time,
        }


class NameDFilter(SeriesDFilter):
    """Keeps the instruments whose code begins with a match of a regular expression, as `re.match` finds it.

    Parameters
    ----------
    name_rule_re : str
        End it with ``$`` to match whole codes.
    fstart_time, fend_time : date, optional
        As `SeriesDFilter`.
    """

    def __init__(self, name_rule_re: str, fstart_time: Any = None, fend_time: Any = None) -> None:
        super().__init__(fstart_time, fend_time)
        self.name_rule_re = name_rule_re

    def to_config(self) -> dict[str, Any]:
        """Return the configuration for ``filter_pipe``."""
        return {**super().to_config(), "name_rule_re": self.name_rule_re}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Return the filter that `to_config` describes."""
        return cls(config["name_rule_re"], config.get("filter_start_time"), config.get("filter_end_time"))


class ExpressionDFilter(SeriesDFilter):
    """Keeps the sessions of an instrument on which an expression is true.

    .. warning:: **Look-ahead.** An expression that reads later sessions is refused when the filter is used.

    Parameters
    ----------
    rule_expression : str
        For example ``$close > 5``; zero and NaN are false.
    fstart_time, fend_time, keep
        As `SeriesDFilter`.
    """

    def __init__(
        self,
        rule_expression: str,
        fstart_time: Any = None,
        fend_time: Any = None,
        keep: bool = False,  # noqa: FBT001, FBT002 - Qlib's signature
    ) -> None:
        super().__init__(fstart_time, fend_time, keep=keep)
        self.rule_expression = str(rule_expression)

    def to_config(self) -> dict[str, Any]:
        """Return the configuration for ``filter_pipe``."""
        return {**super().to_config(), "rule_expression": self.rule_expression, "keep": self.keep}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Return the filter that `to_config` describes."""
        start, end = config.get("filter_start_time"), config.get("filter_end_time")
        return cls(config["rule_expression"], start, end, bool(config.get("keep")))


def filter_configs(pipe: Sequence[Any] | None) -> list[dict[str, Any]]:
    """Return the configurations of a ``filter_pipe`` of filters, of their configurations, or of descriptions to build.

    Raises
    ------
    ConfigError
        For anything else.
    """
    configs: list[dict[str, Any]] = []
    for item in pipe or ():
        described = isinstance(item, Mapping) and "class" in item
        rule = init_instance_by_config(item, "rollwright.features.filters", slot="filter") if described else item
        if isinstance(rule, SeriesDFilter):
            configs.append(rule.to_config())
        elif isinstance(rule, Mapping):
            configs.append(dict(rule))
        else:
            raise ConfigError(
                f"the filter {rule!r} is neither a mapping nor a filter", hint='write {"filter_type": "NameDFilter", …}'
            )
    return configs
