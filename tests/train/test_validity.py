"""Validity: the same question, asked of other data or answered by other code, is asked again."""

from __future__ import annotations

from rollwright.core.construct import Trust
from rollwright.train.validity import code_hash, current_validity

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
    assert code_hash({"model": {"module_path": "rollwright.model.lightgbm"}}, Trust(folder=tmp_path)) == ""
    assert code_hash(DEFINITION, Trust()) == ""
