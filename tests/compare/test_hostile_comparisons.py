"""What a folder of models, a list of them or a stored record may do to whoever compares: nothing but be refused."""

from __future__ import annotations

import json
import os

import pytest

from compared_models import add_model, make_comparison_project
from rollwright.app.compare.model_worker import train_model
from rollwright.cli.root import run
from rollwright.errors import RollwrightError

OUTSIDE = "outside"


@pytest.fixture
def project(tmp_path, monkeypatch):
    folder = make_comparison_project(tmp_path / "project", "ridge", "ols").parent
    (tmp_path / OUTSIDE).mkdir()
    monkeypatch.chdir(folder)
    return folder


def list_project(folder):
    """Return every file that a comparison could have made beneath a project, and beside it."""
    made = (".rollwright", "results")
    return sorted(str(path) for name in made for path in (folder / name).rglob("*") if path.is_file())


def refused(words, capsys):
    """Give a command that is refused for bad input; return what it said."""
    code = run(["compare", "run", *words])
    captured = capsys.readouterr()
    assert code == 2, captured
    assert captured.out == ""
    assert "Traceback" not in captured.err
    assert len(captured.err) < 5_000
    return captured.err


def entry(**changes):
    return {"name": "ridge", "workflow": "models/ridge/workflow.yaml",
            "requirements": "models/ridge/requirements.txt", **changes}  # fmt: skip


NAMES = {
    "upwards": "../../outside/x",
    "a folder": "a/b",
    "absolute": "/etc/passwd",
    "a drive": "C:x",
    "lines": "a\nb",
    "a colour": "a\x1b[31mb",
    "turned around": "a\u202eb",
    "nothing": "",
    "a dot": ".",
    "dots": "..",
    "an option": "-rf",
    "a zero byte": "a\0b",
    "long": "x" * 5000,
    "a zero width": "a\u200bb",
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())
def test_a_name_that_is_none_is_refused_before_anything_is_made(project, capsys, name):
    (project / "list.yaml").write_text(json.dumps({"models": [entry(name=name)]}))
    said = refused(["list.yaml"], capsys)
    assert "\x1b" not in said
    assert "\u202e" not in said
    assert list_project(project) == []
    assert refused(["models", "--name", name], capsys)
    assert list_project(project) == []


@pytest.mark.parametrize(
    "names",
    [("Ridge", "ridge"), ("ridge", "ridge"), ("\u212b", "\u00e5"), ("K1", "\u212a1"), ("\ufb01t", "fit")],
    ids=["case", "twice", "the sign and the letter", "the unit and the letter", "a ligature"],
)
def test_two_names_that_look_alike_are_refused(project, capsys, names):
    (project / "list.yaml").write_text(json.dumps({"models": [entry(name=name) for name in names]}))
    refused(["list.yaml"], capsys)
    assert list_project(project) == []


@pytest.mark.parametrize(("count", "said"), [(10_000, "larger than"), (1_300, "1,300 models")])
def test_ten_thousand_models_are_taken_for_a_mistake(project, capsys, count, said):
    models = ", ".join(f"{{name: m{number}, workflow: a, requirements: b}}" for number in range(count))
    (project / "list.yaml").write_text(f"models: [{models}]\n")
    assert said in refused(["list.yaml"], capsys)
    assert list_project(project) == []


LISTS = {
    "a bomb of aliases": "a: &a [x, x]\n"
    + "".join(f"{chr(98 + n)}: &{chr(98 + n)} [*{chr(97 + n)}, *{chr(97 + n)}]\n" for n in range(24))
    + "models: *y\n",
    "nested": "models: " + "[" * 5000,
    "an object": "models: [!!python/object/apply:os.system ['touch outside/x']]\n",
    "models that are text": "models: ridge\n",
    "a model that is text": "models: [ridge]\n",
    "a key more": "models: [{name: a, workflow: a, requirements: b, run: 'touch outside/x'}]\n",
    "a number as a path": "models: [{name: a, workflow: 1, requirements: 2}]\n",
    "a device": "models: [{name: a, workflow: /dev/zero, requirements: /dev/zero}]\n",
    "no such file": "models: [{name: a, workflow: gone.yaml, requirements: gone.txt}]\n",
    "a zero byte": 'models: [{name: a, workflow: "a\\0b", requirements: b}]\n',
    "not UTF-8": "\udcff",
    "empty": "",
}


@pytest.mark.parametrize("text", LISTS.values(), ids=LISTS.keys())
def test_a_list_that_somebody_made_is_refused(project, capsys, text):
    (project / "list.yaml").write_bytes(text.encode("utf-8", "surrogateescape"))
    refused(["list.yaml"], capsys)
    assert list_project(project) == []
    assert list((project.parent / OUTSIDE).iterdir()) == []


def test_a_model_folder_that_leads_outside_is_refused(project, capsys):
    outside = project.parent / OUTSIDE
    (project / "models" / "evil").symlink_to(add_model(outside, "walk"), target_is_directory=True)
    assert "outside" in refused(["models"], capsys)
    assert list_project(project) == []


@pytest.mark.parametrize("name", ["workflow.yaml", "requirements.txt"])
def test_a_pipe_in_a_model_folder_is_waited_for_by_nobody(project, capsys, name):
    path = project / "models" / "ridge" / name
    path.unlink()
    os.mkfifo(path)
    refused(["models", "--models", "ridge"], capsys)


@pytest.mark.parametrize(
    "words",
    [
        ["models", "--times", "0"],
        ["models", "-j", "0"],
        ["models", "--models", "ridg"],
        ["models", "--models", "ridge,ols", "--exclude"],
        ["models", "--universe", "../x"],
        ["gone"],
        [""],
        ["models\n"],
        ["/dev/null"],
    ],
)
def test_what_cannot_be_meant_is_refused(project, capsys, words):
    refused(words, capsys)
    assert list_project(project) == []


SOUND = {
    "format": 1,
    "name": "models",
    "source": "models",
    "options": {"times": 1, "overrides": [], "provider_uri": None, "timeout": None, "memory": None, "network": True},
    "models": [
        {
            "name": "ridge",
            "requirements": "models/ridge/requirements.txt",
            "requirements_sha256": "",
            "workflows": {"Alpha158": {"file": "models/ridge/workflow.yaml", "sha256": ""}},
            "environment": "",
        }
    ],
}


def with_model(**changes):
    return {**SOUND, "models": [{**SOUND["models"][0], **changes}]}


RECORDS = {
    "text": "gone",
    "nested": "[" * 200_000,
    "a list": "[]",
    "a number": "3",
    "another format": json.dumps({**SOUND, "format": 99}),
    "another name": json.dumps({**SOUND, "name": "../outside"}),
    "a model upwards": json.dumps(with_model(name="../../../outside/x")),
    "a dataset upwards": json.dumps(with_model(workflows={"../../x": {"file": "a", "sha256": ""}})),
    "an environment upwards": json.dumps(with_model(environment="../../..")),
    "options that are none": json.dumps({**SOUND, "options": []}),
    "runs that are none": json.dumps({**SOUND, "options": {**SOUND["options"], "times": -1}}),
    "models that are none": json.dumps({**SOUND, "models": {"ridge": 1}}),
}


@pytest.mark.parametrize("text", RECORDS.values(), ids=RECORDS.keys())
def test_a_record_that_somebody_made_is_refused_and_leads_nowhere(project, capsys, text):
    record = project / ".rollwright" / "comparisons" / "models.json"
    record.parent.mkdir(parents=True)
    record.write_text(text)
    assert run(["compare", "logs", "models", "ridge"]) in {2, 3}
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    assert "models.json" in captured.err
    with pytest.raises(RollwrightError, match=r"models\.json"):
        train_model("models", "ridge", environment="x", jobs=1, tell=lambda _message: None)
    assert list((project.parent / OUTSIDE).iterdir()) == []


def test_a_record_that_is_a_pipe_is_waited_for_by_nobody(project, capsys):
    record = project / ".rollwright" / "comparisons" / "models.json"
    record.parent.mkdir(parents=True)
    os.mkfifo(record)
    assert run(["compare", "logs", "models", "ridge"]) in {2, 3}
    assert "models.json" in capsys.readouterr().err


def test_nothing_was_compared_says_how_to_begin(project, capsys):
    assert run(["compare", "logs", "models", "ridge"]) == 2
    assert "rollwright compare run" in capsys.readouterr().err
