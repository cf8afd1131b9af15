"""The site: `sphinx-build -W --keep-going docs docs/_build/site`, with hondo's extra `docs`.

Pages whose header says `file_format: mystnb` are run; what they gave is kept in
`docs/_build/.jupyter_cache` until their code changes; delete it where the style of pictures has.
"""

import os
import sys
from pathlib import Path

from hondo._pictures import matplotlibrc

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_extensions"))

# What the pages draw looks as what hondo draws; their kernels read matplotlib's settings here.
settings = HERE / "_build" / "matplotlibrc"
settings.parent.mkdir(exist_ok=True)
settings.write_text(matplotlibrc())
os.environ["MATPLOTLIBRC"] = str(settings)

project = "hondo"
copyright = "the hondo authors"
language = "en"
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx-mathjax-offline",
    "markdown_docstrings",
    "api_pages",
    "gallery",
]
exclude_patterns = ["_build", "_extensions"]
html_theme = "furo"
html_title = "hondo"

myst_enable_extensions = ["amsmath", "dollarmath"]
myst_heading_anchors = 4
nb_execution_mode = "cache"
nb_execution_cache_path = str(HERE / "_build" / ".jupyter_cache")
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_merge_streams = True
# The place of somebody's own repository.
linkcheck_ignore = [r"https://github\.com/OWNER/.*"]
linkcheck_retries = 3

autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints = "signature"
# A reference that a page or a docstring makes must be there; types of signatures may be elsewhere.
nitpicky = True
nitpick_ignore_regex = [("py:class", ".*")]
python_display_short_literal_types = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 80
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_attr_annotations = False
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
