"""The setting ``point_in_time.as_of``: a day, or a moment of it."""

from __future__ import annotations

from datetime import date, datetime

__all__ = ["read_moment"]


def read_moment(value: object) -> str | None:
    """Return a moment as ``YYYY-MM-DD``, or ``YYYY-MM-DD HH:MM:SS`` where it is not the beginning of the day.

    Parameters
    ----------
    value : date, datetime, text or None
        A text in the ISO form. None and an empty text are no moment.

    Raises
    ------
    ValueError
        For anything else, and for a moment with a time zone: sessions have none.
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    try:
        moment = value if isinstance(value, date) else datetime.fromisoformat(value.strip())  # type: ignore[attr-defined]  # caught
    except (ValueError, AttributeError) as error:
        raise ValueError(f"{value!r} is no day; write 2019-12-31") from error
    if not isinstance(moment, datetime):
        return moment.isoformat()
    if moment.tzinfo is not None:
        raise ValueError(f"{value!r} has a time zone, and sessions have none; write 2019-12-31")
    whole = moment.replace(microsecond=0)
    return whole.isoformat(" ") if whole.time().isoformat() != "00:00:00" else whole.date().isoformat()
