"""Build the documentation: `make docs`. Nothing is fetched, here or by who reads the pages."""

import os
import sys
from importlib.metadata import version as installed_version
from pathlib import Path

import django

sys.path.insert(0, str(Path(__file__).parent.parent))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "demo_project.settings")
django.setup()  # autodoc imports models

project = "tokenauth"
release = version = installed_version("django-tokenauth")
author = "django-tokenauth contributors"
project_copyright = "django-tokenauth contributors"

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
templates_path: list[str] = []

# "#some-heading" is a link in the raw files too.
myst_heading_anchors = 3

smartquotes = False  # what is quoted is to be copied

html_theme = "furo"
html_title = f"tokenauth {version}"
html_show_sphinx = False
html_copy_source = False
html_show_sourcelink = False

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_class_signature = "separated"
# What other projects document stays a name: to link it, their index would have to be fetched.
nitpick_ignore_regex = [
    ("py:.*", r"(django|rest_framework|datetime|uuid|collections|typing|enum)\..*"),
    (
        "py:.*",
        r"(AbstractBaseUser|HttpRequest|tokenauth\.session\.devices\.Client|Self|Step|AuthSession|datetime|UUID|timedelta)",
    ),
    ("py:.*", r"tokenauth\.decorators\.View"),  # a type variable
    ("py:.*", r"tokenauth\.secret\.Secret"),  # ours to wrap tokens in; sites pass text
]
