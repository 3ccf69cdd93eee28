"""How often the sequences of serving give a false alarm, and how soon they find what is there: measured on series whose
truth is known, and written to a page of docs/.

python tests/helpers/watch_calibration.py          # renews the tables of docs/watching.md
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rollwright.online.watch.feature_drift import DriftWatch, FeatureReference
from rollwright.online.watch.realised_ic import CLIP, ICWatch

PAGE = Path(__file__).parents[2] / "docs" / "watching.md"
START = "<!-- measured: begin -->"
END = "<!-- measured: end -->"

YEAR = 252
YEARS = 10
REPEATS = 200
RATE = 0.1
DEVIATION = 0.12
EDGES = (0.012, 0.02, 0.03, 0.04, 0.06)
SHARES = (1.0, 0.5)
HORIZONS = (1, 5, 20)
CORRELATIONS = (0.0, 0.1, 0.3, 0.6)

FEATURES = 20
INSTRUMENTS = 50
TOLERATED = 0.25
REFERENCE = 250
HALF_LIVES = (1, 5, 20, 60)
SHIFTS = (1.0, 2.0, 4.0)


def draw(rng, days, *, mean, horizon=1, rho=0.0, deviation=DEVIATION):
    """Return daily coefficients: averages over `horizon` sessions of parts whose autocorrelation is `rho`."""
    count = days + horizon - 1 + 50
    parts = rng.standard_normal(count)
    if rho:
        for day in range(1, count):
            parts[day] = rho * parts[day - 1] + np.sqrt(1 - rho * rho) * parts[day]
    total = np.concatenate([[0.0], parts.cumsum()])
    values = ((total[horizon:] - total[:-horizon]) / np.sqrt(horizon))[-days:]
    return mean + deviation * values


def run(values, *, bound, spacing=1, rate=RATE):
    """Return the positions, in sessions, at which coefficients are an alarm."""
    watch = ICWatch(bound=bound, spacing=spacing, false_alarms_a_year=rate)
    _, alarms = watch.test.run(np.clip(values[::spacing], -CLIP, CLIP).tolist())
    return [position * spacing for position in alarms]


def count_false_alarms(*, mean=0.03, horizon=1, spacing=None, rho=0.0, rate=RATE, repeats=REPEATS, years=YEARS):
    """Return the false alarms a year while the mean is as expected, looked at on each session."""
    found = 0
    for seed in range(repeats):
        rng = np.random.default_rng([seed, horizon, round(100 * rho), 140])
        values = draw(rng, YEAR * years, mean=mean, horizon=horizon, rho=rho)
        found += len(run(values, bound=mean, spacing=horizon if spacing is None else spacing, rate=rate))
    return found / repeats / years


def find_delays(*, mean, lost, horizon=1, rate=RATE, repeats=REPEATS, years=8):
    """Return the sessions from the middle of the years, when a share of the mean is lost, to an alarm; inf for none.

    Alarms before are false ones, after which the sequence begins anew.
    """
    half = YEAR * years // 2
    delays = []
    for seed in range(repeats):
        rng = np.random.default_rng([seed, horizon, 141])
        values = draw(rng, 2 * half, mean=mean, horizon=horizon)
        values[half:] -= lost * mean
        found = [
            position - half for position in run(values, bound=mean, spacing=horizon, rate=rate) if position >= half
        ]
        delays.append(found[0] if found else np.inf)
    return np.asarray(delays)


def draw_shares(seed, sessions, *, half_life, shift=0.0):
    """Return the shares of features that are far in sessions after the reference.

    Half of what moves a feature from session to session is common to all, and all of it fades with the half-life;
    instruments vary as much again. From the first session on `shift` standard deviations are added to half of the
    features.
    """
    rng = np.random.default_rng([seed, half_life, round(10 * shift), 142])
    keep = 0.5 ** (1 / half_life)
    count = REFERENCE + sessions
    noise = np.sqrt(0.5) * rng.standard_normal((count, 1)) + np.sqrt(0.5) * rng.standard_normal((count, FEATURES))
    level = np.empty((count, FEATURES))
    level[0] = noise[0]
    for day in range(1, count):
        level[day] = keep * level[day - 1] + np.sqrt(1 - keep * keep) * noise[day]
    level[REFERENCE:, : FEATURES // 2] += shift
    days = np.repeat(np.arange(REFERENCE), INSTRUMENTS)
    values = level[days] + rng.standard_normal((len(days), FEATURES))
    reference = FeatureReference.build(values, days, [f"f{place}" for place in range(FEATURES)])
    return [
        reference.measure(row + rng.standard_normal((INSTRUMENTS, FEATURES))).share for row in level[REFERENCE:]
    ]  # fmt: skip


def find_drift_alarms(shares, *, rate=RATE):
    """Return the positions at which blocks of shares are an alarm."""
    watch = DriftWatch(tolerated=TOLERATED, false_alarms_a_year=rate)
    found = watch.measure({f"{position:06d}": share for position, share in enumerate(shares)})
    return [int(session) for session in found.alarms]


def count_drift_alarms(*, half_life, repeats=20, years=5):
    """Return the alarms a year while features go on as they were in the reference."""
    found = [
        len(find_drift_alarms(draw_shares(seed, YEAR * years, half_life=half_life))) for seed in range(repeats)
    ]  # fmt: skip
    return sum(found) / repeats / years


def find_drift_delay(*, half_life, shift, repeats=20, years=2):
    """Return the median of sessions from a shift of half of the features to an alarm; inf for none."""
    alarms = [
        find_drift_alarms(draw_shares(seed, YEAR * years, half_life=half_life, shift=shift)) for seed in range(repeats)
    ]
    return float(np.median([found[0] + 1 if found else np.inf for found in alarms]))


def make_tables():
    """Return the tables as Markdown."""
    lines = [
        "| expected mean rank IC | share lost | found within 60 sessions | 120 | 250 | 500 | 4 years | median |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for edge in EDGES:
        for lost in SHARES:
            delays = find_delays(mean=edge, lost=lost)
            shares = " | ".join(f"{np.mean(delays < limit):.0%}" for limit in (60, 120, 250, 500, 4 * YEAR))
            median = np.median(delays)
            said = f"{median:.0f}" if np.isfinite(median) else "not within 4 years"
            lines.append(f"| {edge:g} | {lost:.0%} | {shares} | {said} |")
    lines += [
        "",
        "| label over | coefficients taken | ρ 0 | ρ 0.1 | ρ 0.3 | ρ 0.6 |",
        "|---|---|---|---|---|---|",
    ]
    for horizon in HORIZONS:
        for spacing in dict.fromkeys((1, horizon, 5 if horizon == 1 else horizon)):
            rates = " | ".join(
                f"{count_false_alarms(horizon=horizon, spacing=spacing, rho=rho):.3f}" for rho in CORRELATIONS
            )
            taken = "each session" if spacing == 1 else f"each {spacing}th session"
            lines.append(f"| {horizon} session{'s' * (horizon > 1)} | {taken} | {rates} |")
    lines += [
        "",
        f"| level fades by half in | alarms a year | {' | '.join(f'shift of {shift:g}' for shift in SHIFTS)} |",
        "|---|---|" + "---|" * len(SHIFTS),
    ]
    for half_life in HALF_LIVES:
        delays = [find_drift_delay(half_life=half_life, shift=shift) for shift in SHIFTS]
        said = " | ".join(f"{delay:.0f}" if np.isfinite(delay) else "not within 2 years" for delay in delays)
        rate = count_drift_alarms(half_life=half_life)
        lines.append(f"| {half_life} session{'s' * (half_life > 1)} | {rate:.3f} | {said} |")
    return "\n".join(lines)


def measured_part(text):
    """Return what stands between the marks of the page."""
    return text.partition(START)[2].partition(END)[0].strip()


if __name__ == "__main__":
    tables = make_tables()
    head, _, rest = PAGE.read_text(encoding="utf-8").partition(START)
    PAGE.write_text(f"{head}{START}\n{tables}\n{END}{rest.partition(END)[2]}", encoding="utf-8")
