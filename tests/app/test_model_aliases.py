"""Aliases in MLflow's registry: made from the roles, made anew when they differ, never asked for the truth."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from rollwright.app.online.aliases import RegisteredAlias, list_aliases, write_aliases
from rollwright.online.state import OnlineModel, ServingState, StrategyState


class FakeRegistry:
    """A registry in memory, which can fail at the call of a number."""

    def __init__(self):
        self.models, self.versions, self.calls, self.fails_at = {}, [], 0, None

    def _count(self):
        self.calls += 1
        if self.calls == self.fails_at:
            raise ConnectionError("away")

    def get_run(self, run_id):
        return SimpleNamespace(info=SimpleNamespace(artifact_uri=f"file:///runs/{run_id}"))

    def search_registered_models(self, filter_string):
        return [
            SimpleNamespace(name=name, aliases=dict(aliases))
            for name, aliases in self.models.items()
            if filter_string == f"name = '{name}'"
        ]

    def search_model_versions(self, filter_string):
        return [one for one in self.versions if filter_string == f"name = '{one.name}'"]

    def create_registered_model(self, name):
        self._count()
        assert name not in self.models
        self.models[name] = {}

    def create_model_version(self, name, source, run_id, *, await_creation_for):
        self._count()
        made = SimpleNamespace(
            name=name, run_id=run_id, version=len(self.search_model_versions(f"name = '{name}'")) + 1
        )
        self.versions.append(made)
        return made

    def set_registered_model_alias(self, name, alias, version):
        self._count()
        self.models[name][alias] = version

    def delete_registered_model_alias(self, name, alias):
        self._count()
        del self.models[name][alias]

    def read(self):
        runs = {(one.name, str(one.version)): one.run_id for one in self.versions}
        return {
            (name, alias): runs[name, str(version)]
            for name, aliases in self.models.items()
            for alias, version in aliases.items()
        }


def model(number):
    return OnlineModel(experiment="x", recorder=f"run{number}", serves_from="2024-01-02", fit_key="f")


def state(**strategies):
    return ServingState(begin="2024-01-02", strategies=strategies)


def strategy(role, *numbers, status="active"):
    return StrategyState(role=role, status=status, online=tuple(map(model, numbers)))


NAMES = {"demo.lgb", "demo.xgb"}
FIRST = state(lgb=strategy("champion", 1), xgb=strategy("challenger", 2, 3))


def write(registry, found):
    write_aliases(registry, list_aliases("demo", found), models=NAMES)


def test_each_strategy_has_its_role_as_the_alias_of_its_models():
    assert list_aliases("demo", FIRST) == [
        RegisteredAlias(model="demo.lgb", alias="champion", run="run1"),
        RegisteredAlias(model="demo.xgb", alias="challenger", run="run2"),
        RegisteredAlias(model="demo.xgb", alias="challenger-2", run="run3"),
    ]
    assert list_aliases("demo", state(lgb=strategy("champion", 1, status="paused"))) == []
    odd = list_aliases("demo", state(**{"a='b:/c": strategy("champion", 1)}))
    assert odd[0].model == "demo.a=-b--c"


def test_aliases_follow_promotions_switches_and_removals():
    registry = FakeRegistry()
    write(registry, FIRST)
    assert registry.read() == {
        ("demo.lgb", "champion"): "run1",
        ("demo.xgb", "challenger"): "run2",
        ("demo.xgb", "challenger-2"): "run3",
    }
    registry.models["demo.lgb"]["mine"] = 1
    write(registry, state(lgb=strategy("challenger", 4), xgb=strategy("champion", 2)))
    assert registry.read() == {
        ("demo.lgb", "challenger"): "run4",
        ("demo.lgb", "mine"): "run1",
        ("demo.xgb", "champion"): "run2",
    }
    write(registry, state(lgb=strategy("challenger", 4), xgb=strategy("champion", 2, status="removed")))
    assert ("demo.xgb", "champion") not in registry.read()


def test_what_stands_already_is_not_written_again():
    registry = FakeRegistry()
    write(registry, FIRST)
    calls = registry.calls
    write(registry, FIRST)
    assert registry.calls == calls


@pytest.mark.parametrize("number", range(1, 9))
def test_what_failed_half_way_is_made_whole_at_the_next_call(number):
    registry = FakeRegistry()
    registry.fails_at = number
    with pytest.raises(ConnectionError):
        write(registry, FIRST)
    write(registry, FIRST)
    assert len(registry.read()) == 3
    assert len(registry.versions) == 3
