"""Validity: the same question, asked of other data or answered by other code, is asked again."""

from __future__ import annotations

from rollwright.config.construct import Trust
from rollwright.training.validity import code_hash, current_validity

DEFINITION = {
    "model": {"class": "M", "module_path": "mine.py"},
    "record": [{"module_path": "rollwright.analysis.records"}],
}


def test_the_users_own_code_is_part_of_it(tmp_path):
    trust = Trust(folder=tmp_path)
    (tmp_path / "mine.py").write_text("a = 1\n")
    before = current_validity(DEFINITION, "g1", trust=trust)
    assert before == current_validity(DEFINITION, "g1", trust=trust)
    (tmp_path / "mine.py").write_text("a = 2\n")
    assert current_validity(DEFINITION, "g1", trust=trust) != before


def test_so_is_the_generation_of_the_data(tmp_path):
    trust = Trust(folder=tmp_path)
    assert current_validity(DEFINITION, "g1", trust=trust) != current_validity(DEFINITION, "g2", trust=trust)


def test_a_definition_without_own_code_hashes_nothing(tmp_path):
    assert code_hash({"model": {"module_path": "rollwright.models.lightgbm"}}, Trust(folder=tmp_path)) == ""
    assert code_hash(DEFINITION, Trust()) == ""


def test_so_is_every_module_of_a_package_that_the_settings_trust(tmp_path, monkeypatch):
    package = tmp_path / "lab_models_of_a_test"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "trees.py").write_text("from lab_models_of_a_test import helper\n")
    (package / "helper.py").write_text("a = 1\n")
    (tmp_path / "single_of_a_test.py").write_text("a = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    trust = Trust(modules=("lab_models_of_a_test", "single_of_a_test", "nowhere_of_a_test"))

    def hashed(module):
        return code_hash({"model": {"class": "M", "module_path": module}}, trust)

    before = hashed("lab_models_of_a_test.trees"), hashed("single_of_a_test")
    assert before == (hashed("lab_models_of_a_test.trees"), hashed("single_of_a_test"))
    (package / "helper.py").write_text("a = 2\n")
    assert hashed("lab_models_of_a_test.trees") != before[0]
    assert hashed("single_of_a_test") == before[1]
    assert code_hash({"model": {"class": "lab_models_of_a_test.trees.M"}}, trust) == hashed(
        "lab_models_of_a_test.trees"
    )
    (tmp_path / "single_of_a_test.py").write_text("a = 2\n")
    assert hashed("single_of_a_test") != before[1]
    assert hashed("nowhere_of_a_test") == hashed("rollwright.models.lightgbm") == ""
