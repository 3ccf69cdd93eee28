"""The models that a comparison finds in a folder or a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from rollwright.compare.folders import find_models
from rollwright.errors import CompareError, ConfigError

YAML = "task: {dataset: {kwargs: {handler: {class: Alpha158}}}}\n"


def make_model(root: Path, name: str, *files: str, requirements: str | None = "requirements.txt") -> Path:
    folder = root / name
    folder.mkdir(parents=True)
    for file in files or ("workflow.yaml",):
        (folder / file).write_text(YAML)
    if requirements is not None:
        (folder / requirements).write_text("")
    return folder


def test_each_folder_with_a_yaml_is_a_model(tmp_path: Path) -> None:
    make_model(tmp_path, "b")
    make_model(tmp_path, "a")
    (tmp_path / "results").mkdir()
    make_model(tmp_path, ".hidden")
    found = find_models(tmp_path)
    assert [one.name for one in found] == ["a", "b"]
    assert found[0].workflows == {"Alpha158": tmp_path / "a" / "workflow.yaml"}
    assert found[0].requirements == tmp_path / "a" / "requirements.txt"


def test_names_of_files_tell_dataset_and_universe_as_qlibs_do(tmp_path: Path) -> None:
    make_model(
        tmp_path,
        "gru",
        "workflow_config_gru_Alpha158.yaml",
        "workflow_config_gru_Alpha360.yaml",
        "workflow_config_gru_Alpha158_csi300.yaml",
    )
    assert set(find_models(tmp_path)[0].workflows) == {"Alpha158", "Alpha360", "Alpha158/csi300"}
    (one,) = find_models(tmp_path, dataset="alpha158")
    assert [*one.workflows] == ["Alpha158"]
    (other,) = find_models(tmp_path, dataset="Alpha158", universe="csi300")
    assert [*other.workflows] == ["Alpha158/csi300"]
    with pytest.raises(CompareError, match="no workflow for Alpha360/csi300"):
        find_models(tmp_path, dataset="Alpha360", universe="csi300")


def test_one_yaml_of_any_name_is_the_one_of_a_dataset_that_is_asked_for(tmp_path: Path) -> None:
    make_model(tmp_path, "ridge", "any.yaml")
    (one,) = find_models(tmp_path, dataset="Alpha360")
    assert [*one.workflows] == ["Alpha158"]


def test_a_folder_of_one_model_is_that_model(tmp_path: Path) -> None:
    folder = make_model(tmp_path, "ridge")
    (one,) = find_models(folder)
    assert one.name == "ridge"


def test_models_are_chosen_and_left_out_whatever_their_case(tmp_path: Path) -> None:
    for name in ("GRU", "LightGBM", "Ridge"):
        make_model(tmp_path, name)
    assert [one.name for one in find_models(tmp_path, models=["lightgbm", "gru"])] == ["GRU", "LightGBM"]
    assert [one.name for one in find_models(tmp_path, models=["gru"], exclude=True)] == ["LightGBM", "Ridge"]
    with pytest.raises(CompareError) as raised:
        find_models(tmp_path, models=["lightbgm"])
    assert raised.value.hint == "did you mean `LightGBM`?"
    with pytest.raises(CompareError, match="every model is excluded"):
        find_models(tmp_path, models=["gru", "ridge", "lightgbm"], exclude=True)


def test_a_model_without_requirements_is_refused_and_one_other_text_file_taken(tmp_path: Path) -> None:
    make_model(tmp_path, "a", requirements="needs.txt")
    assert find_models(tmp_path)[0].requirements.name == "needs.txt"
    make_model(tmp_path, "b", requirements=None)
    with pytest.raises(CompareError, match=r"model `b` has no requirements\.txt"):
        find_models(tmp_path)


def test_two_workflows_of_one_dataset_and_names_that_are_none_are_refused(tmp_path: Path) -> None:
    make_model(tmp_path / "one", "a", "first.yaml", "second.yaml")
    with pytest.raises(CompareError, match=r"two workflows for Alpha158: first\.yaml and second\.yaml"):
        find_models(tmp_path / "one")
    make_model(tmp_path / "two", "a:b")
    with pytest.raises(CompareError, match="`a:b` is no name of a model"):
        find_models(tmp_path / "two")
    (tmp_path / "three").mkdir()
    with pytest.raises(CompareError, match="there is no model in"):
        find_models(tmp_path / "three")


def test_a_folder_that_leads_outside_is_refused(tmp_path: Path) -> None:
    make_model(tmp_path, "outside")
    make_model(tmp_path / "models", "a")
    (tmp_path / "models" / "b").symlink_to(tmp_path / "outside")
    with pytest.raises(CompareError, match="outside of what was given"):
        find_models(tmp_path / "models")


def test_a_file_lists_models_with_paths_beside_it(tmp_path: Path) -> None:
    make_model(tmp_path, "x", "w_Alpha360.yaml")
    file = tmp_path / "list.yaml"
    file.write_text(
        "models:\n"
        "- {name: One, workflow: x/w_Alpha360.yaml, requirements: x/requirements.txt}\n"
        "- {name: Two, workflow: x/w_Alpha360.yaml, requirements: x/requirements.txt, dataset: Other}\n"
    )
    found = find_models(file)
    assert [(one.name, [*one.workflows]) for one in found] == [("One", ["Alpha360"]), ("Two", ["Other"])]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("models: []", "lists no `models`"),
        ("models: [1]", "list.yaml:1:10: a model is"),
        ("models: [{name: a, workflow: w.yaml, requirments: r.txt}]", "did you mean `requirements`"),
        ("models: [{name: a, workflow: w.yaml}]", "`requirements` is missing"),
        ("models: [{name: a, workflow: w.yaml, requirements: r.txt}]", "there is no file"),
    ],
)
def test_what_a_file_says_wrong_is_told_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "list.yaml"
    file.write_text(text + "\n")
    with pytest.raises(ConfigError) as raised:
        find_models(file)
    assert message in str(raised.value)


def test_names_that_look_the_same_are_refused(tmp_path: Path) -> None:
    make_model(tmp_path, "x")
    file = tmp_path / "list.yaml"
    entry = "{{name: {}, workflow: x/workflow.yaml, requirements: x/requirements.txt}}"
    file.write_text(f"models: [{entry.format('Ridge')}, {entry.format('ridge')}]\n")
    with pytest.raises(CompareError, match="two models are called `Ridge` and `ridge`"):
        find_models(file)


def test_a_model_without_the_dataset_is_left_out_where_others_have_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_model(tmp_path, "gru", "workflow_config_gru_Alpha360.yaml")
    make_model(tmp_path, "forest", "workflow_config_forest_Alpha158.yaml")
    with caplog.at_level("WARNING"):
        assert [one.name for one in find_models(tmp_path, dataset="Alpha360")] == ["gru"]
    assert [line for line in caplog.messages if line.startswith("batch.left_out model=forest")]
    with pytest.raises(CompareError, match="no workflow for Alpha360"):
        find_models(tmp_path, models=["forest"], dataset="Alpha360")
