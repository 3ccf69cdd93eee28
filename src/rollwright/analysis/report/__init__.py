"""The report: tables of the stages as one self-contained HTML file, in English or Chinese."""

from rollwright.analysis.report.page import CampaignReport, VariantReport, render_report, report_html
from rollwright.analysis.report.window_row import WindowRow

__all__ = ["CampaignReport", "VariantReport", "WindowRow", "render_report", "report_html"]
