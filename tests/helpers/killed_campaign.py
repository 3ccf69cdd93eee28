"""A campaign of trees over the demo market that real processes roll, and that tests kill."""

from __future__ import annotations

from pathlib import Path

_TEMPLATE = """\
experiment_name: {name}
qlib_init: {{provider_uri: ../market, region: us}}
task:
  model:
    class: LGBModel
    module_path: rollwright.models.lightgbm
    kwargs: {{{kwargs}}}
  dataset:
    class: DatasetH
    module_path: rollwright.dataset.dataset
    kwargs:
      handler:
        class: Alpha158
        module_path: rollwright.dataset.alpha
        kwargs: {{instruments: all, start_time: 2015-01-05, end_time: 2017-12-29}}
      segments:
        train: [2015-06-01, 2016-03-31]
        valid: [2016-04-01, 2016-06-30]
        test: [2016-07-01, 2017-06-30]
{more}"""


def make_campaign(name: str, *, kwargs: str, more: str) -> str:
    """Return the text of a campaign: `kwargs` of its model, and `more` of the file from ``  record:`` on."""
    return _TEMPLATE.format(name=name, kwargs=kwargs, more=more)


def make_project(home: Path, folder: str, *, file: str, text: str) -> Path:
    """Make a project beside the market of `home`, and return its folder."""
    project = home / folder
    (project / ".rollwright").mkdir(parents=True)
    (project / file).write_text(text)
    return project
