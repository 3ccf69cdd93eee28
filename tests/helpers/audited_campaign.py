"""A small campaign on the demo market, as a file that the audit is given."""

from __future__ import annotations

from pathlib import Path

from rollwright.market.demo import make_demo_market

FILE = """\
qlib_init: {{provider_uri: market}}
task:
  model: {{class: LinearModel, module_path: rollwright.models.linear}}
  dataset:
    class: DatasetH
    module_path: rollwright.dataset.dataset
    kwargs:
      handler:
        class: DataHandlerLP
        module_path: rollwright.dataset.handler
        kwargs:
          instruments: all
          data_loader:
            class: QlibDataLoader
            kwargs:
              config:
                feature: [["{feature}"], [A]]
                label: [["Ref($close,-2)/Ref($close,-1)-1"], [L]]
          infer_processors: [{processors}]
      segments: {{train: [2015-02-02, 2015-06-30], valid: [2015-07-01, 2015-08-31], test: [2015-09-01, 2015-12-01]}}
{more}
"""


def make_audited_market(folder: Path) -> None:
    """Make the market that the campaign names."""
    make_demo_market(folder / "market", instruments=20, sessions=250, seed=1)


def write_audited_campaign(
    folder: Path, *, feature: str = "$close/Ref($close,5)", processors: str = "", more: str = "rolling: {step: 20}"
) -> Path:
    """Write the campaign; return its file."""
    path = folder / "study.yaml"
    path.write_text(FILE.format(feature=feature, processors=processors, more=more))
    return path
