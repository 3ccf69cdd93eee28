"""Operators of one's own: classes that compute one instrument's series, and what is asked of what they return."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
import pytest

from rollwright import D, init
from rollwright.config.context import GIVEN_CLASSES, current_settings, using
from rollwright.config.settings import load_settings
from rollwright.errors import (
    ConfigError,
    ConstructError,
    DataError,
    ExpressionError,
    LookAheadError,
    UntrustedModuleError,
)
from rollwright.expression.operators.catalogue import known_operators
from rollwright.expression.operators.loaded_code import digest_of_code
from rollwright.expression.ops import (
    ChangeInstrument,
    ElemOperator,
    Feature,
    If,
    Max,
    Mean,
    NpElemOperator,
    NpPairOperator,
    Operators,
    PairOperator,
    PairRolling,
    Quantile,
    Ref,
    Rolling,
)
from rollwright.expression.parser import parse
from rollwright.expression.planner import compile_plan
from rollwright.features.store.feature_store import FeatureStore
from rollwright.testing.market import ArraySource, expression_values, random_source


class Diff(ElemOperator):
    def _load_internal(self, instrument, start_index, end_index, freq):
        return self.feature.load(instrument, start_index, end_index, freq).diff()

    def get_extended_window_size(self):
        before, after = self.feature.get_extended_window_size()
        return before + 1, after


class Distance(PairOperator):
    def _load_internal(self, instrument, start_index, end_index, freq):
        left, right = (
            side.load(instrument, start_index, end_index, freq) for side in (self.feature_left, self.feature_right)
        )
        return np.abs(left - right)


class Root(NpElemOperator):
    def __init__(self, feature):
        super().__init__(feature, "sqrt")


class Plus(NpPairOperator):
    def __init__(self, feature_left, feature_right):
        super().__init__(feature_left, feature_right, "add")


class Spread(Rolling):
    def __init__(self, feature, N=5):
        super().__init__(feature, N, "std")


class Together(PairRolling):
    def __init__(self, feature_left, feature_right, N):
        super().__init__(feature_left, feature_right, N, "cov")


class Ahead(ElemOperator):
    def __init__(self, feature, by):
        super().__init__(feature)
        self.by = by

    def _load_internal(self, instrument, start_index, end_index, freq):
        return self.feature.load(instrument, start_index, end_index, freq).shift(-self.by)

    def get_extended_window_size(self):
        before, after = self.feature.get_extended_window_size()
        return before, after + self.by


class Demeaned(ElemOperator):
    """Says that it reads its own row, and takes the mean of the whole series."""

    def _load_internal(self, instrument, start_index, end_index, freq):
        series = self.feature.load(instrument, start_index, end_index, freq)
        return series - series.mean()


OWN = [Diff, Distance, Root, Plus, Spread, Together, Ahead, Demeaned]


@pytest.fixture
def source() -> ArraySource:
    return random_source(np.random.default_rng(4), sessions=60, instruments=5)


@pytest.fixture(autouse=True)
def own():
    with using(load_settings()):
        init(custom_ops=OWN)
        yield


def operator(body: str, name: str = "Odd") -> type:
    space = {"ElemOperator": ElemOperator, "np": np, "pd": pd, "Feature": Feature, "__name__": "made_up"}
    exec(
        f"class {name}(ElemOperator):\n"
        "    def _load_internal(self, instrument, start_index, end_index, freq):\n"
        "        series = self.feature.load(instrument, start_index, end_index, freq)\n"
        f"        {body}\n",
        space,
    )
    return space[name]


@pytest.mark.parametrize(
    ("own_text", "built_in"),
    [
        ("Diff($close)", "Delta($close,1)"),
        ("Distance($close,Ref($close,1))", "Abs($close-Ref($close,1))"),
        ("Plus($close,1)", "$close+1"),
        ("Plus(2,$open)", "2+$open"),
        ("Root($volume)", "Power($volume,0.5)"),
        ("Plus($close,$open)", "$close+$open"),
        ("Spread($close)", "Std($close,5)"),
        ("Spread($close,N=7)", "Std($close,7)"),
        ("Spread($close,0)", "Std($close,0)"),
        ("Together($close,$volume,9)", "Cov($close,$volume,9)"),
        ("Mean(Diff($close),5)/Diff(Mean($close,3))", "Mean(Delta($close,1),5)/Delta(Mean($close,3),1)"),
        ("ChangeInstrument('SH600001',Diff($close))", "ChangeInstrument('SH600001',Delta($close,1))"),
        ("CSRank(Diff($close))", "CSRank(Delta($close,1))"),
        ("Ahead($close,2)", "Ref($close,-2)"),
    ],
)
def test_an_operator_of_ones_own_gives_what_it_computes(source, own_text, built_in) -> None:
    mine, theirs = expression_values(source, own_text, built_in)
    np.testing.assert_allclose(mine, theirs, rtol=2e-4, atol=1e-5)


def test_its_values_do_not_depend_on_the_query(source) -> None:
    texts = ("Diff($close)", "Spread(Diff($close),20)", "Ahead($close,1)")
    whole = expression_values(source, *texts)
    part = expression_values(source, *texts, instruments=source.instruments()[3:1:-1], start=31, stop=44)
    np.testing.assert_array_equal(part, whole[:, 31:44, 3:1:-1])


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (Ref(Feature("close"), 1) / Feature("close"), "Div(Ref($close,1),$close)"),
        (Mean(Feature("close"), N=5) > 2, "Gt(Mean($close,N=5),2)"),
        (1 - Feature("open") * 2, "Sub(1,Mul($open,2))"),
        (If(Feature("a") > Feature("b"), 1, -Feature("c")), "If(Gt($a,$b),1,Mul($c,-1))"),
        ((Feature("a") > 1) & (Feature("b") != 2) | (Feature("c") == 3), "Or(And(Gt($a,1),Ne($b,2)),Eq($c,3))"),
        (Quantile(Feature("a"), 5, 0.2) ** 2, "Power(Quantile($a,5,0.2),2)"),
        (ChangeInstrument("SH000300", Max(Feature("close"), 3)), "ChangeInstrument('SH000300',Max($close,3))"),
        (Diff(Feature("close")) + Spread(Feature("close")), "Add(Diff($close),Spread($close))"),
    ],
)
def test_an_object_stands_for_its_text(made, text) -> None:
    assert str(made) == repr(made) == text
    assert parse(text) is parse(str(made))
    assert len({made, made}) == 1


def test_objects_are_fields_and_columns(source) -> None:
    with using(market=source):
        made = Ref(Feature("close"), 1) / Feature("close")
        frame = D.features(["SH600001"], [made, "Ref($close,1)/$close", Diff(Feature("close"))])
    assert list(frame.columns) == ["Div(Ref($close,1),$close)", "Ref($close,1)/$close", "Diff($close)"]
    np.testing.assert_array_equal(frame.iloc[:, 0], frame.iloc[:, 1])


def test_an_expression_has_no_truth_value() -> None:
    with pytest.raises(ExpressionError, match="neither true nor false"):
        bool(Feature("a") > 1)
    with pytest.raises(TypeError, match=r"Mean takes \(feature, N\)"):
        Mean(Feature("a"))


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("Ref($close,N=5)", "Ref($close,5)"),
        ("Ref(N=5,feature=$close)", "Ref($close,5)"),
        ("Corr(feature_left=$a,feature_right=$b,N=3)", "Corr($a,$b,3)"),
        ("Quantile($a,N=3,qscore=0.2)", "Quantile($a,3,0.2)"),
        ("If(condition=$a>1,feature_left=$b,feature_right=0)", "If($a>1,$b,0)"),
        ("Mask($a,instrument='X')", "Mask($a,'X')"),
        ("Feature('close')+1", "$close+1"),
    ],
)
def test_arguments_may_be_named(text, same) -> None:
    assert parse(text) is parse(same)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Ref($close,M=5)", "no argument `M`"),
        ("Ref($close,feature=$open)", "given twice"),
        ("Ref(feature=$close,5)", "without a name"),
        ("Quantile($a,qscore=0.2)", "takes 3"),
        ("Spread(N=5)", "without `feature`"),
        ("Ref($close,5)=1", "where the end was expected"),
        ("Feature($close)", "in quotes"),
    ],
)
def test_wrong_names_are_told_with_their_place(text, reason) -> None:
    with pytest.raises(ExpressionError, match=reason):
        parse(text)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("return None", "returned NoneType"),
        ("return series.to_frame()", "returned DataFrame of shape"),
        ("return series.values[1:]", "returned ndarray of shape"),
        ("return series.astype(str)", "not numbers"),
        ("return series.astype(complex)", "values of type complex"),
        ("return series.rename(lambda place: place + 7)", "a row"),
        ("return pd.concat([series, series])", "gave twice"),
        ("return series / len(int)", r"TypeError: .*line 4"),
        ("return Feature('open').load(instrument, start_index, end_index, freq)", "only what it was given"),
        ("return self.feature.load('SH600001', start_index, end_index, freq)", "asks for SH600001"),
    ],
)
def test_what_an_operator_returns_is_checked(source, body, reason) -> None:
    init(custom_ops=[operator(body)])
    with pytest.raises((DataError, ExpressionError), match=reason):
        expression_values(source, "Odd($close)", instruments=["SH600000"])


@pytest.mark.parametrize("body", ["return series.values", "return series.iloc[3:]", "return series > 20"])
def test_an_array_a_part_of_the_rows_and_a_condition_are_fine(source, body) -> None:
    init(custom_ops=[operator(body)])
    (found,) = expression_values(source, "Odd($close)", instruments=["SH600000"])
    assert np.isfinite(found[10:]).sum() > 10


def test_an_operator_that_looks_ahead_without_saying_so_is_refused_in_features(source, tmp_path) -> None:
    with pytest.raises(LookAheadError, match=r"Demeaned\(\$close\).*reads sessions after its own"):
        FeatureStore(tmp_path).matrix(["Demeaned($close)"], source)
    assert np.isfinite(expression_values(source, "Demeaned($close)")).any()  # a label may
    with pytest.raises(LookAheadError, match="reads 2 sessions ahead"):
        compile_plan(["Ahead($close,2)"])


@pytest.mark.parametrize(
    ("given", "reason"),
    [([int], "is no operator"), ([type("Ref", (Diff,), {})], "exists already"), (Diff, "a list"), ([3], "no operator")],
)
def test_what_is_no_operator_is_refused(given, reason) -> None:
    def give() -> None:
        init(custom_ops=given)
        known_operators()

    with pytest.raises(ConfigError, match=reason):
        give()


def test_a_constructor_that_no_expression_can_call_is_refused() -> None:
    class Many(ElemOperator):
        def __init__(self, *features):
            super().__init__(features[0])

        def _load_internal(self, instrument, start_index, end_index, freq): ...

    class Unfinished(ElemOperator):
        pass

    Operators.register([Many])
    with pytest.raises(ConfigError, match=r"takes \*features"):
        known_operators()
    init(custom_ops=[Unfinished])
    with pytest.raises(ConfigError, match="does not define _load_internal"):
        known_operators()


def test_a_redefined_operator_never_serves_old_features(source, tmp_path) -> None:
    store, texts = FeatureStore(tmp_path), ["Odd($close)", "$open"]
    folders, values = set(), []
    for factor in (2, 3, 2):
        init(custom_ops=[operator(f"return series * {factor}")])
        matrix = store.matrix(texts, source)
        folders.add(matrix.folder)
        values.append(np.array(matrix.values[:, 0]) / np.array(store.matrix(["$close"], source).values[:, 0]))
    assert len(folders) == 2
    assert [np.nanmean(each) for each in values] == [2, 3, 2]
    wider = store.matrix(["$open", "Odd($close)", "$high"], source)  # columns are taken over, but not this one
    init(custom_ops=[operator("return series * 5")])
    again = store.matrix(["$open", "Odd($close)", "$high", "$low"], source)
    np.testing.assert_allclose(again.values[:, 1], np.array(wider.values[:, 1]) * 2.5, rtol=1e-6)


def test_the_digest_follows_what_the_code_uses() -> None:
    def made(helper: str, constant: float) -> type:
        space = {"ElemOperator": ElemOperator, "np": np, "__name__": "made_up", "CONSTANT": constant}
        exec(
            f"def helper(x):\n    return {helper}\n"
            "class Base(ElemOperator):\n    def scale(self):\n        return CONSTANT\n"
            "class Uses(Base):\n"
            "    def _load_internal(self, i, s, e, f):\n"
            "        return helper(self.feature.load(i, s, e, f)) * self.scale()\n",
            space,
        )
        return space["Uses"]

    digests = {digest_of_code(made(*each)) for each in [("x + 1", 1.0), ("x + 2", 1.0), ("x + 1", 2.0), ("x + 1", 1.0)]}
    assert len(digests) == 3


def test_the_digest_tells_functions_of_packages_and_objects_apart() -> None:
    class Scale:
        def __init__(self, by: float) -> None:
            self.by = by

        def __call__(self, values):
            return values * self.by

    codes = [np.exp, np.log, partial(np.clip, a_min=0), partial(np.clip, a_min=1), Scale(2), Scale(3), Scale(3)]
    assert len({digest_of_code(code) for code in codes}) == 6


def test_the_line_that_a_refused_file_asks_for_is_the_one_that_helps(source, tmp_path, monkeypatch) -> None:
    (tmp_path / "mine.py").write_text(
        "from rollwright import ElemOperator\n"
        "class Thrice(ElemOperator):\n"
        "    def _load_internal(self, i, s, e, f):\n"
        "        return self.feature.load(i, s, e, f) * 3\n"
    )
    monkeypatch.chdir(tmp_path)
    given = '[data]\ncustom_ops = ["mine.py:Thrice"]\n'
    (tmp_path / "rollwright.toml").write_text(given)
    with using(load_settings()), pytest.raises(UntrustedModuleError) as caught:
        parse("$close")
    (tmp_path / "rollwright.toml").write_text(given + str(caught.value.hint).partition("rollwright.toml:\n")[2])
    with using(load_settings()):
        np.testing.assert_array_equal(*expression_values(source, "Thrice($close)", "$close*3"))


def test_a_configuration_names_an_operator_of_a_file_beside_it(source, tmp_path) -> None:
    (tmp_path / "mine.py").write_text(
        "from rollwright import ElemOperator\n"
        "class Twice(ElemOperator):\n"
        "    def _load_internal(self, i, s, e, f):\n"
        "        return self.feature.load(i, s, e, f) * 2\n"
        "class Other:\n    pass\n"
    )
    named = {"class": "Twice", "module_path": "mine.py"}
    init(custom_ops=[named], trust__folder=str(tmp_path))
    assert current_settings().data.custom_ops == ("mine.py:Twice",)
    mine, theirs = expression_values(source, "Twice($close)", "$close*2")
    np.testing.assert_array_equal(mine, theirs)
    init(custom_ops=["mine.py:Other"])
    with pytest.raises(ConstructError, match="cannot stand as `operator`"):
        parse("$close")
    init(custom_ops=["some_package.mine:Twice"])
    with pytest.raises(UntrustedModuleError):
        parse("$close")


def test_an_operator_of_the_program_is_known_by_name_in_its_workers() -> None:
    settings = init(custom_ops=[Diff])
    name = f"{Diff.__module__}:Diff"
    assert settings.data.custom_ops == (name,)
    assert Diff.__module__ in settings.trust.modules
    given = GIVEN_CLASSES.pop(name)  # as another process has it, which got the settings and nothing else
    try:
        with using(settings.with_values({"data.kernels": 1}, origin="argument")):
            assert known_operators()["Diff"].code == digest_of_code(Diff)
    finally:
        GIVEN_CLASSES[name] = given
    init(custom_ops=["__main__:Diff"])
    with pytest.raises(ConstructError, match="put it into a module"):
        known_operators()
