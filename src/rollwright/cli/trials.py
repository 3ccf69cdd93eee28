"""``rollwright trials``: what was tried on which data, and whether the registry of it is whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import typer

from rollwright.cli.console import AsJson, print_json, print_text, stderr

if TYPE_CHECKING:
    from rollwright.app.trials import RegistryReport
    from rollwright.trials.trial import Trial

__all__ = ["trials_app"]

AUDIT_FAILED: Final = 4
_TERMS: Final = (
    "topk",
    "n_drop",
    "mode",
    "deal_price",
    "rules",
    "hold_thresh",
    "risk_degree",
    "only_tradable",
    "forbid_all_trade_at_limit",
)
"""Settings that tell the back-tests of one signal apart."""

trials_app = typer.Typer(
    help="Show the strategies that were tried on each data set, and check the registry that counts them.",
    no_args_is_help=True,
)


@trials_app.command(name="list")
def list_trials(as_json: AsJson = False) -> None:
    """List the distinct strategies whose returns somebody looked at, by data set; no number of a result changes."""
    from rollwright.app.trials import read_trials  # noqa: PLC0415 - keeps --help light

    found = read_trials()
    if as_json:
        print_json(found.to_json())
        return
    if not found.data_sets:
        print_text(f"no trials are registered in {found.folder}")
    for part in found.data_sets:
        what = "made-up data" if part.synthetic else "data set"
        print_text(
            f"{what} {part.data}: {len(part.trials)} distinct trials of {part.looks} registered, with the Sharpe "
            "ratio of a day, not of a year"
        )
        print_text(f"  {'first':10}  {'last':10}  {'sessions':>8}  {'a day':>7}  {'source':11}  name")
        for trial in part.trials:
            print_text(_describe(trial))
    if found.lost:
        print_text(f"{found.lost} records are lost; each counts as a trial in every data set")
    _tell_damage(found)


@trials_app.command()
def verify(as_json: AsJson = False) -> int:
    """Compare every record of the registry with its digest, with the next one, and with what other chains have seen.

    Exit code 0: nothing was changed or taken out; 4: something was, and it is named.
    """
    from rollwright.app.trials import read_trials  # noqa: PLC0415 - keeps --help light

    found = read_trials()
    if as_json:
        print_json(found.to_json(), ok=found.is_sound)
        return 0 if found.is_sound else AUDIT_FAILED
    for writer, records in found.chains.items():
        print_text(f"{writer}: {records} records")
    if found.torn:
        print_text(f"{found.torn} bytes of a record whose writer died, or is writing now; it was never reported")
    _tell_damage(found)
    if found.is_sound:
        print_text(f"sound: {sum(found.chains.values())} records in {found.folder}")
        return 0
    return AUDIT_FAILED


def _describe(trial: Trial) -> str:
    from rollwright.app.trials import sharpe_of  # noqa: PLC0415 - keeps --help light

    ratio = sharpe_of(trial)
    series = trial.series
    holdout = " (holdout)" if trial.holdout else ""
    terms = ", ".join(f"{name} {trial.settings[name]}" for name in _TERMS if trial.settings.get(name) is not None)
    return (
        f"  {series.sessions[0]!s:10}  {series.sessions[-1]!s:10}  {len(series.units):>8}  "
        f"{'–' if ratio is None else f'{ratio:.4f}':>7}  {trial.source:11}  {trial.name}{holdout}"
        + (f"  {terms}" if terms else "")
    )


def _tell_damage(found: RegistryReport) -> None:
    for one in found.damage:
        stderr.print(f"damaged: {one}", style="red")
    if found.damage:
        stderr.print(
            f"{found.lost} records are lost and count as trials; restore {found.folder} from a backup", style="yellow"
        )
