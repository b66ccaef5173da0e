"""The local page of a comparison: one HTML file that needs nothing else."""

from videowino.evaluation.page.content import NetworkDetail, Page
from videowino.evaluation.page.gather import gather_page
from videowino.evaluation.page.write import plot_svg, write_page
