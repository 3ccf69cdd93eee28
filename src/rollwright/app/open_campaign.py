"""A campaign's file, read and checked: all that those need who help with its windows."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rollwright.app.campaign_record import find_record, record_path, results_folder, submitted_path
from rollwright.app.campaign_settings import settings_of_file
from rollwright.campaign.checks.pool import check_pool_location
from rollwright.campaign.config import CampaignConfig
from rollwright.campaign.config_file import read_config
from rollwright.campaign.yaml.document import YamlDocument
from rollwright.config.context import Context
from rollwright.config.settings import Settings, load_settings
from rollwright.core.canonical import sha256_hex
from rollwright.core.text import NAME_RULE, escape_text, is_name
from rollwright.errors import ConfigError
from rollwright.market.source import DataSource

__all__ = ["OpenCampaign", "open_campaign", "reopen_campaign"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenCampaign:
    """A campaign's file, read and checked, with the settings it runs under.

    Attributes
    ----------
    name : str
    config : CampaignConfig
    document : YamlDocument
    context : Context
        What its work runs in: the settings of the project with what the file's ``qlib_init`` sets, and the market if
        one was given.
    overrides : tuple of str
    """

    name: str
    config: CampaignConfig
    document: YamlDocument
    context: Context
    overrides: tuple[str, ...]

    @property
    def settings(self) -> Settings:
        """The settings of its context."""
        return self.context.settings

    def with_settings(self, values: Mapping[str, object]) -> OpenCampaign:
        """Return it under other settings, by their dotted names."""
        context = replace(self.context, settings=self.settings.with_values(values, origin="command line"))
        return replace(self, context=context)

    @property
    def results(self) -> Path:
        """The folder that holds what the campaign makes."""
        return results_folder(self.settings, self.name)

    @property
    def submitted(self) -> Path:
        """The file that says which windows were submitted last."""
        return submitted_path(self.settings, self.name)

    @property
    def record(self) -> Path:
        """The file from which `resume_campaign` and `help_campaign` find this campaign."""
        return record_path(self.settings, self.name)


def open_campaign(
    path: Path,
    *,
    overrides: Sequence[str] = (),
    provider_uri: str | None = None,
    project: Path | None = None,
    market: DataSource | None = None,
    default_name: str | None = None,
) -> OpenCampaign:
    """Read the campaign's file; the current context stays as it is.

    Parameters
    ----------
    path : Path
    overrides : sequence of str
        ``dotted.key=value`` each, over what the file says.
    provider_uri : str, optional
        Market data, over what the file says.
    project : Path, optional
        Where the search for the project folder starts; the working directory if not given.
    market : DataSource, optional
        An open market, over what the file says. It cannot be sent to other processes, so its windows are trained one
        after another in this one.
    default_name : str, optional
        What the campaign is called where the file gives it no name; as the file if not given.

    Raises
    ------
    ConfigError
        With every problem of the file at once.
    """
    own = load_settings(start=project)
    config, document = read_config(path, overrides, trusted=own.trust.modules)
    settings = settings_of_file(own, path, document.data, provider_uri)
    check_pool_location(settings, own, document)
    return OpenCampaign(
        name=_name_of(config, path, default_name),
        config=config,
        document=document,
        context=Context(settings=settings, market=market),
        overrides=tuple(overrides),
    )


def _name_of(config: CampaignConfig, path: Path, default: str | None) -> str:
    """Return the campaign's name: the one it gives itself, the default, or that of its file."""
    if default is not None and not config.experiment_name:
        if not is_name(default):
            raise ConfigError(f"`{escape_text(default)}` is no name for an experiment", hint=f"it needs {NAME_RULE}")
        return default
    name = config.experiment_name or unicodedata.normalize("NFC", path.stem)  # macOS writes file names in parts
    if not is_name(name):
        raise ConfigError(
            f"the file's name makes `{escape_text(name)}` the campaign's, which needs {NAME_RULE}",
            hint="give it a name of its own: `experiment_name: my-campaign`, or rename the file",
        )
    return name


def reopen_campaign(name: str | None, *, project: Path | None = None) -> OpenCampaign:
    """Open a campaign that was started here by its name, or the one that ran last.

    Raises
    ------
    ConfigError
        When there is no such campaign, or its file changed since it was started.
    """
    settings = load_settings(start=project)
    record = find_record(settings, name)
    path = settings.root / record.file
    campaign = open_campaign(path, overrides=record.overrides, provider_uri=record.provider_uri, project=settings.root)
    if sha256_hex(campaign.document.rendered.encode()) != record.sha256:
        raise ConfigError(
            f"{path} changed since campaign `{record.name}` was started",
            hint=f"start it as it is now with `rollwright roll {record.file}`: windows that did not change are kept; "
            f"what the change does: rollwright plan {record.file} --diff",
        )
    return campaign
