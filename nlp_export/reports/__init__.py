"""What did the matrix find, for people who look, read or compute: HTML, Markdown, JSON and CSV.

Reports only format: every number comes from the cells and from their analysis.
"""

from nlp_export.reports import paper_table
from nlp_export.reports.report import Report, write, write_pages
from nlp_export.reports.results_json import Results
from nlp_export.reports.results_json import read as read_results
from nlp_export.reports.standalone import write_plots

__all__ = [
    'Report', 'Results', 'paper_table', 'read_results', 'write', 'write_pages', 'write_plots']
