"""A project of the smallest campaign, which is rolled in this process: what the verbs of the command line look at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rolling_project import DAYS, rows
from rollwright.app.campaign import roll_campaign
from rollwright.app.open_campaign import open_campaign
from rollwright.campaign.results import CampaignResult
from rollwright.market.folder.provider import QlibProvider
from rollwright.market.ingest.importer import import_market

CAMPAIGN = """\
experiment_name: small
qlib_init: {provider_uri: market, region: us}
task:
  model: {class: LinearModel, module_path: rollwright.models.linear, kwargs: {estimator: ridge, alpha: 0.1}}
  dataset:
    class: DatasetH
    module_path: rollwright.dataset.dataset
    kwargs:
      handler:
        class: DataHandlerLP
        module_path: rollwright.dataset.handler
        kwargs:
          instruments: all
          start_time: "2020-01-01"
          data_loader:
            class: QlibDataLoader
            module_path: rollwright.dataset.loader
            kwargs:
              config:
                feature: [["$close/Ref($close, 5)", "$volume/Mean($volume, 5)"], [MOM, VOL]]
                label: [["Ref($close, -2)/Ref($close, -1) - 1"], [LABEL0]]
          learn_processors: [{class: DropnaLabel}]
          infer_processors: [{class: Fillna, kwargs: {fields_group: feature}}]
      segments:
        train: ["2020-01-09", "2020-04-30"]
        valid: ["2020-05-01", "2020-05-22"]
        test: ["2020-05-29", "2020-10-05"]
  record: {class: SignalRecord, module_path: rollwright.analysis.records}
rolling: {step: 25, rtype: sliding}
"""


def make_project(folder: Path, *, text: str = CAMPAIGN, file: str = "small.yaml") -> Path:
    """Make a project with its market; return the campaign's file."""
    folder.mkdir(parents=True)
    (folder / "rollwright.toml").write_text("")
    import_market(rows(DAYS[:200]), folder / "market")
    (folder / file).write_text(text)
    return folder / file


def roll_here(file: Path, *, overrides: tuple[str, ...] = (), **terms: Any) -> CampaignResult | None:
    """Roll a campaign in this process."""
    market = QlibProvider(file.parent / "market")
    campaign = open_campaign(file, overrides=overrides, project=file.parent, market=market)
    return roll_campaign(campaign, jobs=1, **terms)
