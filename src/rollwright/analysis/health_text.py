"""The words of each kind of finding, in English and Chinese: what was found, and what to do."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from rollwright.analysis.health import HealthFinding, group_findings

__all__ = [
    "FindingText",
    "GroupText",
    "count_findings",
    "describe_finding",
    "describe_group",
    "finding_to_json",
    "list_kinds",
    "name_severity",
]

Language: TypeAlias = Literal["en", "zh"]


class FindingText(NamedTuple):
    """What was found, and what to do about it ("" where nothing is to be done)."""

    message: str
    hint: str


class GroupText(NamedTuple):
    """What was found of several variants, what to do, and which they are ("" where the message names it)."""

    message: str
    hint: str
    variants: str


_ALIKE: Final = {"en": "the same of: ", "zh": "以下成员均如此："}
_LIKEWISE: Final = {
    "en": "likewise, with figures of their own in summary.json: ",
    "zh": "以下成员同样如此（各自的数值见 summary.json）：",
}
_SEVERITY: Final = {
    "serious": {"en": "serious", "zh": "严重"},
    "warning": {"en": "warning", "zh": "警告"},
    "note": {"en": "note", "zh": "说明"},
}

_WORDS: Final = "templates/health.toml"

_CAUSES: Final = {
    "equal_scores": {"en": "equal scores", "zh": "分数全相同"},
    "equal_labels": {"en": "equal labels", "zh": "标签全相同"},
    "one_instrument": {"en": "fewer than two instruments with score and label", "zh": "同时有分数和标签的标的不足两只"},
    "infinite_labels": {"en": "an infinite label", "zh": "标签为无穷大"},
    "no_label": {"en": "no label (yet)", "zh": "（尚）无标签"},
    "other": {"en": "another reason", "zh": "其他原因"},
}


@cache
def _load_words() -> Mapping[str, Mapping[str, str]]:
    text = resources.files("rollwright.analysis").joinpath(_WORDS).read_text(encoding="utf-8")
    return tomllib.loads(text)


def list_kinds() -> tuple[str, ...]:
    """Return every kind of finding there are words for."""
    return tuple(_load_words())


def describe_finding(finding: HealthFinding, language: Language = "en") -> FindingText:
    """Return the words of a finding; of a kind that this version does not know, its key and its values."""
    words = _load_words().get(finding.kind)
    if words is None:
        return FindingText(f"{finding.kind}: {_list_values(finding.values)}", "")
    values = {**finding.values, "causes": _list_causes(finding.values, language)}
    return FindingText(words[language].format(**values), words[f"{language}_hint"].format(**values))


def describe_group(
    group: Sequence[HealthFinding], language: Language = "en", *, name_variants: bool = True
) -> GroupText:
    """Return the words of findings of one kind: those of the first, and which other variants they are about."""
    first = describe_finding(group[0], language)
    about = f"{group[0].variant}: " if group[0].variant and name_variants else ""
    if len(group) == 1:
        return GroupText(f"{about}{first.message}", first.hint, "")
    names = [one.variant for one in group]
    comma = "、" if language == "zh" else ", "
    if all(one.values == group[0].values for one in group):
        return GroupText(first.message, first.hint, _ALIKE[language] + comma.join(names))
    return GroupText(f"{about}{first.message}", first.hint, _LIKEWISE[language] + comma.join(names[1:]))


def name_severity(severity: str, language: Language = "en") -> str:
    """Return the word for a severity."""
    return _SEVERITY[severity][language]


def count_findings(findings: tuple[HealthFinding, ...], language: Language = "en") -> str:
    """Return how many groups of findings there are of each severity, as a line."""
    groups = group_findings(findings)
    counts = [(sum(group[0].severity == severity for group in groups), severity) for severity in _SEVERITY]
    if language == "zh":
        return "、".join(f"{count} 项{name_severity(severity, 'zh')}" for count, severity in counts if count)
    plural = {"warning": "warnings", "note": "notes"}
    return ", ".join(f"{n} {severity if n == 1 else plural.get(severity, severity)}" for n, severity in counts if n)


def _list_causes(values: Mapping[str, Any], language: Language) -> str:
    parts = [f"{values[cause]:,} {words[language]}" for cause, words in _CAUSES.items() if values.get(cause)]
    return ("、" if language == "zh" else ", ").join(parts)


def _list_values(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


def finding_to_json(finding: HealthFinding) -> dict[str, Any]:
    """Return a finding with its words in English."""
    message, hint = describe_finding(finding)
    return {
        "kind": finding.kind,
        "severity": finding.severity,
        "message": message,
        "hint": hint,
        "variant": finding.variant,
        "metrics": list(finding.metrics),
        "values": dict(finding.values),
    }
