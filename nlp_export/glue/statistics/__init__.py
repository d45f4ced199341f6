"""What do the cells of a matrix say, and how sure is that? `analyse` answers for all of them.

NumPy at import; SciPy and statsmodels when a function needs them.
"""

from nlp_export.glue.statistics.analysis import analyse
from nlp_export.glue.statistics.results import Analysis, Settings

__all__ = ['Analysis', 'Settings', 'analyse']
