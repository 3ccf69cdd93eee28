"""Decisions of a person about a serving: promote, go back, publish what was refused."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from rollwright.app.online.aliases import mirror_aliases
from rollwright.app.online.delivery import deliver_published
from rollwright.app.online.notify import tell_afterwards
from rollwright.app.online.serving import OpenServing, open_serving
from rollwright.core.canonical import JSON
from rollwright.errors import OnlineError
from rollwright.online.entry import LedgerEntry
from rollwright.online.evidence import Evidence, PromotionTerms, compare_signals, judge_evidence
from rollwright.online.known_labels import read_known_labels
from rollwright.online.market_news import write_session
from rollwright.online.recorded_signals import list_pairs, load_pairs
from rollwright.online.roles import promote, publish_refused, roll_back, roll_back_models
from rollwright.online.state import ServingState
from rollwright.tracking.r import R

__all__ = ["Decision", "compare_strategy", "promote_strategy", "publish_refused_signal", "roll_back_serving"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What was decided.

    Attributes
    ----------
    serving : str
    entry : LedgerEntry or None
        None where it was only looked at what there is to decide by.
    evidence : Evidence or None
        Of a promotion.
    lacking : tuple of str
        What the evidence lacks.
    """

    serving: str
    entry: LedgerEntry | None
    evidence: Evidence | None = None
    lacking: tuple[str, ...] = ()

    def to_json(self) -> dict[str, JSON]:
        """Return it as JSON."""
        return {
            "serving": self.serving,
            "entry": None if self.entry is None else self.entry.to_json(),
            "evidence": None if self.evidence is None else self.evidence.to_json(),
            "lacking": list[JSON](self.lacking),
        }


def compare_strategy(strategy: str, name: str | None = None, *, project: Path | None = None) -> Decision:
    """Return how a challenger did beside the champions, and what a promotion would lack; nothing is written."""
    with open_serving(name, project=project) as serving:
        evidence = _find_evidence(serving, strategy)
        lacking = judge_evidence(evidence, _read_terms(serving))
        return Decision(serving=serving.name, entry=None, evidence=evidence, lacking=lacking)


def promote_strategy(
    strategy: str,
    name: str | None = None,
    *,
    override: bool = False,
    reason: str = "",
    project: Path | None = None,
) -> Decision:
    """Make a challenger the champion; errors as `rollwright.online.roles.promote`."""
    with open_serving(name, project=project) as serving, _tell(serving):
        evidence, terms = _find_evidence(serving, strategy), _read_terms(serving)
        entry = promote(serving.ledger, strategy, evidence=evidence, terms=terms, override=override, reason=reason)
        mirror_aliases(serving)
        return Decision(serving=serving.name, entry=entry, evidence=evidence, lacking=judge_evidence(evidence, terms))


def roll_back_serving(
    name: str | None = None, *, reason: str, models: str | None = None, project: Path | None = None
) -> Decision:
    """Go back to the roles before the last promotion, or to the models of a strategy before the last switch.

    Parameters
    ----------
    name : str, optional
    reason : str
    models : str, optional
        The strategy whose models are put back.
    project : Path, optional
    """
    with open_serving(name, project=project) as serving, _tell(serving):
        if models is None:
            entry = roll_back(serving.ledger, reason=reason)
        else:
            entry = roll_back_models(serving.ledger, models, reason=reason)
        mirror_aliases(serving)
        return Decision(serving=serving.name, entry=entry)


def publish_refused_signal(name: str | None = None, *, reason: str, project: Path | None = None) -> Decision:
    """Publish the signal of the last session, which was refused; errors as `rollwright.online.roles.publish_refused`.

    It is delivered as a file, where signals are, and those whom the file names are told.
    """
    with open_serving(name, project=project) as serving, _tell(serving):
        entry = publish_refused(serving.ledger, reason=reason)
        deliver_published(serving)
        return Decision(serving=serving.name, entry=entry)


def _tell(serving: OpenServing) -> AbstractContextManager[None]:
    """Tell those whom the file names what was decided, after the block."""
    return tell_afterwards(serving.ledger, serving.options.notify)


def _read_terms(serving: OpenServing) -> PromotionTerms:
    return PromotionTerms(**serving.options.promotion.model_dump())


def _find_evidence(serving: OpenServing, strategy: str) -> Evidence | None:
    """Return how a strategy did beside the champions; None where no session has both."""
    _, state = serving.read_head()
    if strategy not in state.strategies or strategy in state.with_role("champion"):
        return None  # the promotion says so
    pairs = list_pairs(serving.ledger, state, strategy)
    if not pairs:
        return None
    labels = read_known_labels(R.get_recorder(recorder_id=_find_model(state)), pairs[0].session, pairs[-1].session)
    calendar = serving.market.calendar()
    champion, challenger = load_pairs(pairs, serving.signals.load)
    return compare_signals(
        champion,
        challenger,
        labels.values,
        names=(strategy, state.with_role("champion")),
        sessions=[write_session(one) for one in calendar.sessions(pairs[0].session, calendar.last_known)],
        label_span=labels.span,
        terms=_read_terms(serving),
    )


def _find_model(state: ServingState) -> str:
    """Return the recorder of a champion's model: signals are compared by its label."""
    for name in state.with_role("champion"):
        for model in state.strategies[name].online:
            return model.recorder
    raise OnlineError(
        "no champion has a model, so there is no label by which signals could be compared",
        hint="run the routine first: rollwright online routine",
    )
