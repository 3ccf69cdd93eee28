"""Making a table again: the same bytes, or what differs by name, and nothing that the table itself chooses."""

from __future__ import annotations

import json
import shutil

import pytest

from compared_models import add_model, make_comparison_project
from rollwright.app.compare.reproduce import reproduce_comparison
from rollwright.app.compare.run import run_comparison
from rollwright.cli.root import run
from rollwright.compare.table import make_table
from rollwright.compare.table_files import write_table
from rollwright.compare.this_environment import ThisEnvironment
from rollwright.errors import CompareError, CorruptFileError, DataNotFoundError

HERE = ThisEnvironment


@pytest.fixture(scope="module")
def compared_once(tmp_path_factory):
    """A project of two models, one of which fails, whose table is made; nobody writes into it."""
    folder = tmp_path_factory.mktemp("compared")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(folder))
        models = make_comparison_project(folder / "project", "trees", "refused")
        result = run_comparison(models, environments=HERE(), project=models.parent, times=2)
        assert result.basis is not None
        table = make_table(result.evaluations, baseline="trees", origin=result.basis.to_json())
        write_table(result.folder, table)
    return models.parent


@pytest.fixture
def compared(compared_once, tmp_path, monkeypatch):
    """A copy of it; the working directory."""
    folder = tmp_path / "project"
    shutil.copytree(compared_once, folder)
    monkeypatch.chdir(folder)
    return folder


def table_of(folder, name="compare-models"):
    return folder / "results" / name / "table.json"


def list_made(folder):
    return sorted(path.name for path in (folder / ".rollwright" / "comparisons").glob("*.json"))


def test_the_same_bytes_are_made_again_and_each_time_anew(compared, capsys):
    before = table_of(compared).read_bytes()
    assert b"refused" in before
    assert run(["compare", "reproduce", str(table_of(compared)), "-j", "2", "--this-environment", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["data"]
    assert (told["name"], told["runs"], told["same"], told["differences"]) == ("models-again", 4, True, [])
    assert table_of(compared, "compare-models-again").read_bytes() == before
    assert table_of(compared).read_bytes() == before
    trained = [*(compared / ".rollwright" / "comparisons" / "models-again" / "logs" / "trees").rglob("*.log")]
    assert trained, "it was trained, and not looked up"


@pytest.mark.slow
def test_a_copy_is_made_again_from_the_models_that_are_named(compared, tmp_path, capsys):
    elsewhere = tmp_path / "sent"
    shutil.move(table_of(compared).parent, elsewhere)
    assert run(["compare", "reproduce", str(elsewhere / "table.json"), "--this-environment"]) == 2
    assert "--from" in capsys.readouterr().err
    assert run(["compare", "reproduce", str(elsewhere / "table.json"), "--from", "models", "--this-environment"]) == 0
    assert "the same bytes" in capsys.readouterr().out
    assert table_of(compared, "compare-sent-again").read_bytes() == (elsewhere / "table.json").read_bytes()


@pytest.mark.slow
def test_another_prediction_ends_with_4_and_is_named(compared, capsys):
    table = json.loads(table_of(compared).read_text())
    (row,) = [row for row in table["rows"] if row["model"] == "trees"]
    text = table_of(compared).read_text()
    former = next(one for one in find_texts(row) if len(one) == 64)
    table_of(compared).write_text(text.replace(former, "0" * 64))
    assert run(["compare", "reproduce", str(table_of(compared)), "-j", "2", "--this-environment"]) == 4
    out = capsys.readouterr().out
    assert "differs: trees/DataHandlerLP/" in out
    assert "predictions 0000000000000000" in out
    verdict = json.loads((table_of(compared, "compare-models-again").parent / "reproduced.json").read_text())
    assert verdict["same"] is False


def find_texts(value):
    if isinstance(value, dict):
        return [text for item in value.values() for text in find_texts(item)]
    if isinstance(value, list):
        return [text for item in value for text in find_texts(item)]
    return [value] if isinstance(value, str) else []


def change_workflow(folder):
    file = folder / "models" / "trees" / "workflow.yaml"
    file.write_text(file.read_text().replace("num_boost_round: 5", "num_boost_round: 6"))
    return "model trees: its workflow for DataHandlerLP is another"


def change_requirements(folder):
    (folder / "models" / "trees" / "requirements.txt").write_text("lightgbm>=3\n")
    return "model trees: its requirements are others"


def change_market(folder):
    (file,) = (folder / "market" / "calendars").glob("day.txt")
    file.write_text(file.read_text() + "2031-01-02\n")
    return "model trees: the market data of DataHandlerLP are others"


def change_origin(key, value):
    def change(folder):
        table = json.loads(table_of(folder).read_text())
        table["origin"][key] = value
        table_of(folder).write_text(json.dumps(table))
        return f"{value} made it"

    return change


CHANGES = {
    "a workflow": change_workflow,
    "requirements": change_requirements,
    "the market": change_market,
    "rollwright": change_origin("rollwright", "9.9.9"),
    "Python": change_origin("python", "9.9.9-plan9-vax"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_what_does_not_fit_is_named_and_nothing_is_trained(compared, change):
    said = change(compared)
    with pytest.raises(CompareError) as raised:
        reproduce_comparison(table_of(compared), environments=HERE())
    assert said in raised.value.message
    assert list_made(compared) == ["models.json"]


def test_all_that_does_not_fit_is_named_at_once(compared):
    said = [change_requirements(compared), change_workflow(compared), CHANGES["rollwright"](compared)]
    with pytest.raises(CompareError) as raised:
        reproduce_comparison(table_of(compared), environments=HERE())
    assert all(line in raised.value.message for line in said)


def test_other_overrides_are_named(compared):
    with pytest.raises(CompareError, match=r"overrides: it was made with none, and this has seed=3"):
        reproduce_comparison(table_of(compared), environments=HERE(), source=compared / "models", overrides=["seed=3"])


HOSTILE = {
    "no JSON": "gone",
    "nested": "[" * 200_000,
    "empty": "{}",
    "a number": "1e999",
    "text": '"table"',
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_what_is_no_table_is_refused(compared, text):
    table_of(compared).write_text(text)
    with pytest.raises(CorruptFileError):
        reproduce_comparison(table_of(compared), environments=HERE())
    assert list_made(compared) == ["models.json"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("models", [{"name": "../../x", "requirements": "", "lock": "", "workflows": []}]),
        ("dataset", "../../etc"),
        ("source", "/etc"),
        ("times", 10**9),
        ("models", []),
    ],
)
def test_an_origin_that_somebody_made_leads_nowhere(compared, key, value):
    change_origin(key, value)(compared)
    with pytest.raises(CompareError):
        reproduce_comparison(table_of(compared), environments=HERE())
    assert list_made(compared) == ["models.json"]


def test_a_lock_that_was_changed_or_is_missing_is_refused(compared):
    lock = table_of(compared).parent / "locks" / "trees.txt"
    lock.write_text(lock.read_text() + "evil==1.0\n")
    with pytest.raises(CorruptFileError, match=r"trees\.txt"):
        reproduce_comparison(table_of(compared), environments=HERE())
    lock.unlink()
    with pytest.raises(DataNotFoundError, match="lock"):
        reproduce_comparison(table_of(compared), environments=HERE())
    assert list_made(compared) == ["models.json"]


@pytest.mark.slow
def test_a_reproduction_that_was_killed_goes_on_under_its_name(compared):
    again = compared / ".rollwright" / "comparisons"
    first = reproduce_comparison(table_of(compared), environments=HERE(), jobs=2)
    (first.folder / "reproduced.json").unlink()  # as if it had been killed before its verdict
    assert reproduce_comparison(table_of(compared), environments=HERE(), jobs=2).name == first.name == "models-again"
    assert reproduce_comparison(table_of(compared), environments=HERE(), jobs=2).name == "models-again-2"
    assert {path.stem for path in again.glob("*.json")} == {"models", "models-again", "models-again-2"}


def test_without_a_source_nothing_can_be_given_over_it(compared, capsys):
    assert run(["compare", "reproduce", str(table_of(compared)), "seed=3"]) == 2
    assert "--from" in capsys.readouterr().err
    add_model(compared / "models", "ridge")  # another model beside is no part of the table
    assert run(["compare", "reproduce", "gone.json"]) == 3
