"""What every `DataSource` and `VintageSource` promises, as tests.

Subclass `DataSourceContract` and give it a ``source`` fixture: at least two instruments with a series, one of which
begins later or ends earlier than the other, a universe called ``all``, and the field ``close``. For a source with
fields by period subclass `VintageSourceContract` too, and give it ``period_field``.
"""

# ruff: noqa: D102 - the name of a test is its sentence
from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from rollwright.calendar.periods import interval_of
from rollwright.errors import CalendarRangeError, DataError, UnknownFieldError, UnknownInstrumentError
from rollwright.market.as_of import AsOf
from rollwright.market.source import DataSource, FieldKind, Vintages, VintageSource

__all__ = ["DataSourceContract", "VintageSourceContract"]


class DataSourceContract:
    """Tests over one source, and over what it was on earlier sessions."""

    @pytest.fixture
    def earlier(self, source: DataSource) -> AsOf:
        """Return the source as of the middle of its known sessions."""
        calendar = source.calendar()
        return AsOf(source, calendar[calendar.known // 2])

    def test_instruments_are_sorted_and_each_is_there_once(self, source: DataSource) -> None:
        codes = source.instruments()
        assert len(codes) >= 2
        assert list(codes) == sorted(set(codes))

    def test_bounds_lie_in_the_known_part_of_the_calendar(self, source: DataSource) -> None:
        bounds = source.bounds(source.instruments())
        assert bounds.dtype == np.int64
        assert bounds.shape == (len(source.instruments()), 2)
        assert (bounds[:, 0] >= 0).all()
        assert (bounds[:, 0] <= bounds[:, 1]).all()
        assert (bounds[:, 1] <= source.calendar().known).all()
        assert len({tuple(row) for row in bounds.tolist()}) > 1, "the contract needs series of different bounds"

    def test_bounds_follow_the_order_asked_for(self, source: DataSource) -> None:
        codes = source.instruments()[::-1]
        np.testing.assert_array_equal(source.bounds(codes), source.bounds(source.instruments())[::-1])
        assert source.bounds(()).shape == (0, 2)

    def test_rows_outside_a_series_are_missing(self, source: DataSource) -> None:
        codes, length = source.instruments(), len(source.calendar())
        values = source.load(["close"], codes, 0, length)
        assert values.dtype == np.float32
        assert values.shape == (1, length, len(codes))
        rows, bounds = np.arange(length)[:, None], source.bounds(codes)
        outside = (rows < bounds[:, 0]) | (rows >= bounds[:, 1])
        assert np.isnan(values[0][outside]).all()
        assert np.isfinite(values[0][~outside]).any()

    def test_each_field_has_bounds_within_those_of_its_instrument(self, source: DataSource) -> None:
        codes, length = source.instruments(), len(source.calendar())
        bounds, own = source.bounds(codes), source.field_bounds(["close", "no_such_field"], codes)
        assert own.shape == (2, len(codes), 2)
        assert np.issubdtype(own.dtype, np.integer)
        first, stop = own[0].T
        assert (first <= stop).all()
        assert ((first >= bounds[:, 0]) & (stop <= bounds[:, 1]))[first < stop].all()
        assert (own[1, :, 0] >= own[1, :, 1]).all(), "a field that nobody has has no row"
        rows, values = np.arange(length)[:, None], source.load(["close"], codes, 0, length)[0]
        assert np.isnan(values[(rows < first) | (rows >= stop)]).all()
        np.testing.assert_array_equal(source.field_bounds(["close"], codes[::-1])[0], own[0, ::-1])
        assert source.field_bounds((), codes).shape == (0, len(codes), 2)
        assert source.field_bounds(["close"], ()).shape == (1, 0, 2)

    def test_any_part_is_the_same_as_that_part_of_the_whole(self, source: DataSource) -> None:
        codes, length = source.instruments(), len(source.calendar())
        whole = source.load(["close"], codes, 0, length)
        for start, stop in ((0, 1), (length // 3, length // 2), (length - 2, length), (length, length), (3, 3)):
            part = source.load(["close", "close"], codes[::-1], start, stop)
            assert part.shape == (2, stop - start, len(codes))
            for values in part:
                np.testing.assert_array_equal(values, whole[0, start:stop, ::-1])
        assert source.load(["close"], (), 0, 2).shape == (1, 2, 0)
        assert source.load((), codes, 0, 2).shape == (0, 2, len(codes))

    def test_what_is_loaded_is_the_caller_s_own(self, source: DataSource) -> None:
        codes, known = source.instruments(), source.calendar().known
        before = source.load(["close"], codes, 0, known)
        kept = before.copy()
        before[:] = -1
        np.testing.assert_array_equal(source.load(["close"], codes, 0, known), kept)

    def test_a_range_that_is_none_of_the_calendar_is_refused(self, source: DataSource) -> None:
        length = len(source.calendar())
        for start, stop in ((-1, 2), (0, length + 1), (3, 2)):
            with pytest.raises(DataError, match="calendar"):
                source.load(["close"], source.instruments(), start, stop)

    def test_an_unknown_instrument_is_refused(self, source: DataSource) -> None:
        asks = (
            lambda: source.bounds(["NOBODY"]),
            lambda: source.field_bounds(["close"], ["NOBODY"]),
            lambda: source.load(["close"], ["NOBODY"], 0, 1),
        )
        for ask in asks:
            with pytest.raises(UnknownInstrumentError):
                ask()

    def test_an_unknown_universe_is_refused(self, source: DataSource) -> None:
        with pytest.raises(UnknownInstrumentError):
            source.members("nobodies")

    def test_lifetimes_are_closed_ranges_in_order(self, source: DataSource) -> None:
        members = source.members("all")
        assert set(members) & set(source.instruments())
        for spans in members.values():
            assert spans
            assert all(start <= end for start, end in spans)
            assert all(one[1] < other[0] for one, other in pairwise(spans))

    def test_missing_fields_are_those_that_are_not_there(self, source: DataSource) -> None:
        assert source.missing_fields(["close", "no_such_field"]) == ("no_such_field",)

    def test_one_generation_is_one_content(self, source: DataSource) -> None:
        codes, known = source.instruments(), source.calendar().known
        first, values = source.generation, source.load(["close"], codes, 0, known)
        assert first
        assert source.generation == first
        np.testing.assert_array_equal(source.load(["close"], codes, 0, known), values)

    def test_all_sessions_are_unchanged_under_its_own_generation_and_none_under_an_unknown_one(
        self, source: DataSource
    ) -> None:
        assert source.unchanged_before(source.generation) == source.calendar().known
        assert source.unchanged_before("another") == 0

    # -- as it was on an earlier session -----------------------------------------------------------------------

    def test_later_sessions_are_not_known(self, source: DataSource, earlier: AsOf) -> None:
        calendar, cut = source.calendar(), earlier.calendar()
        assert cut.known == calendar.known // 2 + 1
        assert cut.last_known == earlier.session
        np.testing.assert_array_equal(cut.values, calendar.values)

    def test_earlier_rows_are_the_same_and_later_ones_missing(self, source: DataSource, earlier: AsOf) -> None:
        known, length = earlier.calendar().known, len(source.calendar())
        codes = earlier.instruments()
        values = earlier.load(["close"], codes, 0, length)
        np.testing.assert_array_equal(values[:, :known], source.load(["close"], codes, 0, known))
        assert np.isnan(values[:, known:]).all()
        assert np.isnan(earlier.load(["close"], codes, known, length)).all()
        across = slice(known - 1, known + 1)
        np.testing.assert_array_equal(earlier.load(["close"], codes, across.start, across.stop), values[:, across])

    def test_who_was_listed_later_is_not_there(self, source: DataSource) -> None:
        codes = source.instruments()
        first = source.bounds(codes)[:, 0]
        session = int(first.max()) - 1
        if session < 0:
            pytest.skip("every series begins with the calendar")
        earlier = AsOf(source, source.calendar()[session])
        assert list(earlier.instruments()) == [
            code for code, start in zip(codes, first.tolist(), strict=True) if start <= session
        ]
        with pytest.raises(UnknownInstrumentError):
            earlier.bounds([codes[int(first.argmax())]])

    def test_no_lifetime_and_no_series_reaches_beyond_the_viewpoint(self, source: DataSource, earlier: AsOf) -> None:
        assert (earlier.bounds(earlier.instruments()) <= earlier.calendar().known).all()
        whole = source.members("all")
        for code, spans in earlier.members("all").items():
            assert all(end <= earlier.session for _, end in spans)
            assert [start for start, _ in spans] == [start for start, _ in whole[code] if start <= earlier.session]

    def test_each_viewpoint_has_a_generation_of_its_own(self, source: DataSource) -> None:
        calendar = source.calendar()
        views = [source, *(AsOf(source, calendar[row]) for row in range(calendar.known - 1))]
        assert len({view.generation for view in views}) == len(views)

    def test_a_viewpoint_cannot_be_widened(self, source: DataSource) -> None:
        calendar = source.calendar()
        early, late = calendar[2], calendar[calendar.known - 2]
        for nested in (AsOf(AsOf(source, early), late), AsOf(AsOf(source, late), early)):
            once = AsOf(source, early)
            assert (nested.source, nested.session) == (once.source, once.session)
            assert nested.generation == once.generation
            assert nested.calendar() == once.calendar()

    def test_a_viewpoint_before_the_calendar_is_refused(self, source: DataSource) -> None:
        with pytest.raises(CalendarRangeError):
            AsOf(source, "1800-01-01")

    def test_a_viewpoint_knows_which_rows_of_another_are_its_own(self, source: DataSource, earlier: AsOf) -> None:
        calendar, known = source.calendar(), earlier.calendar().known
        first = AsOf(source, calendar[1])
        assert earlier.unchanged_before(first.generation) == 2
        assert first.unchanged_before(earlier.generation) == 2
        assert earlier.unchanged_before(source.generation) == known
        assert earlier.unchanged_before("another") == 0
        assert source.unchanged_before(earlier.generation) in (0, known)


class VintageSourceContract:
    """Tests over a source with fields by period; ``period_field`` is one with values that became known on two days."""

    def _all(self, source: DataSource, field: str) -> Vintages:
        assert isinstance(source, VintageSource)
        return source.vintages(field, source.instruments())

    def test_vintages_have_the_shapes_and_types_of_the_port(self, source: DataSource, period_field: str) -> None:
        found = self._all(source, period_field)
        assert found.offsets.shape == (len(source.instruments()) + 1,)
        assert (found.offsets[0], found.offsets[-1]) == (0, len(found.value))
        assert (np.diff(found.offsets) >= 0).all()
        assert found.period.shape == found.known_at.shape == found.value.shape
        types = [part.dtype for part in found]
        assert types == [np.dtype(name) for name in ("int64", "int32", "datetime64[s]", "float64")]
        assert len(np.unique(found.known_at)) > 1, "the contract needs values that became known on two days"

    def test_vintages_are_sorted_by_when_they_became_known(self, source: DataSource, period_field: str) -> None:
        found = self._all(source, period_field)
        for low, high in zip(found.offsets[:-1], found.offsets[1:], strict=True):
            keys = list(zip(found.known_at[low:high].tolist(), found.period[low:high].tolist(), strict=True))
            assert keys == sorted(set(keys))

    def test_vintages_of_some_instruments_are_those_of_the_whole(self, source: DataSource, period_field: str) -> None:
        whole = self._all(source, period_field)
        assert isinstance(source, VintageSource)
        codes = source.instruments()
        for number, code in enumerate(codes):
            found = source.vintages(period_field, [code, codes[0]])
            rows = slice(whole.offsets[number], whole.offsets[number + 1])
            for one, other in zip(found[1:], whole[1:], strict=True):
                np.testing.assert_array_equal(np.asarray(one)[: found.offsets[1]], np.asarray(other)[rows])
        assert source.vintages(period_field, ()).offsets.tolist() == [0]

    def test_the_fields_by_period_are_named_with_their_interval_and_a_kind(
        self, source: DataSource, period_field: str
    ) -> None:
        assert isinstance(source, VintageSource)
        fields = source.period_fields()
        assert period_field in fields
        assert fields == tuple(sorted(set(fields)))
        assert all(interval_of(field) for field in fields)
        assert isinstance(source.field_kind(period_field), FieldKind)
        with pytest.raises(UnknownFieldError):
            source.field_kind("no_such_field_q")

    def test_what_is_known_of_a_field_has_an_identity_that_a_viewpoint_changes(
        self, source: DataSource, period_field: str
    ) -> None:
        assert isinstance(source, VintageSource)
        own = source.vintage_generation([period_field])
        assert own == source.vintage_generation([period_field])
        assert own != source.vintage_generation([])
        assert own != source.vintage_generation([period_field, "a_field_that_may_come_q"])
        moment = self._all(source, period_field).known_at.max()
        if moment >= source.calendar().values[0]:
            assert AsOf(source, moment).vintage_generation([period_field]) != own

    def test_an_unknown_field_or_instrument_has_no_vintages(self, source: DataSource, period_field: str) -> None:
        assert isinstance(source, VintageSource)
        with pytest.raises(UnknownFieldError):
            source.vintages("no_such_field_q", source.instruments())
        with pytest.raises(UnknownInstrumentError):
            source.vintages(period_field, ["NOBODY"])

    def test_what_became_known_later_is_hidden_and_what_became_known_that_day_is_not(
        self, source: DataSource, period_field: str
    ) -> None:
        whole = self._all(source, period_field)
        for moment in np.unique(whole.known_at):
            if moment < source.calendar().values[0]:
                continue
            earlier = AsOf(source, moment)
            found = earlier.vintages(period_field, source.instruments())
            seen = whole.known_at <= moment
            assert len(found.value) == int(seen.sum())
            for one, other in zip(found[1:], whole[1:], strict=True):
                np.testing.assert_array_equal(one, np.asarray(other)[seen])
            counts = [int(seen[low:high].sum()) for low, high in pairwise(whole.offsets.tolist())]
            assert np.diff(found.offsets).tolist() == counts
