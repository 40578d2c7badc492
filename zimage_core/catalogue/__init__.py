"""Extract's knowledge: one typed frame of products from CSV, Excel, Parquet or SQL, and a reason for each refused row.

What it is:       readers for each kind of source, the column aliases, the rules for rows, the check of the photos and
                  their mattes.
May import:       domain, errors, settings, storage (for files that appear whole).
May touch:        the catalogue it is handed, photos under the folder it is handed, files in its work folder, and the
                  database a catalogue URL names (read only).
Never:            changes a source, guesses what a value means, takes a photo's pixels, prints a password.

`read_catalogue` gives a `Catalogue`: usable rows in `frame` and `products()`, the others in `refusals()`.
`check_photos` goes over the products next; `write_refusals_csv` is what operations open in a spreadsheet.
"""

# ruff: noqa: E402 - polars reads its number of threads once, when it is imported
from zimage_core.settings import set_environment_defaults

# A batch is too small to share out: a second thread saves a tenth of the time and costs up to a fifth more CPU and 40
# MiB, on machines whose cores have pictures to make. POLARS_MAX_THREADS in the environment wins.
set_environment_defaults(POLARS_MAX_THREADS="1")

from zimage_core.catalogue.catalogue import Catalogue
from zimage_core.catalogue.categories import CATEGORY_WORDS
from zimage_core.catalogue.columns import ALIASES, FIELDS, REQUIRED_FIELDS
from zimage_core.catalogue.photos import check_photos
from zimage_core.catalogue.prices import PRICE_LIMIT, PriceFormat
from zimage_core.catalogue.read import read_catalogue, read_passthrough
from zimage_core.catalogue.report import write_refusals_csv
from zimage_core.catalogue.safe import path_safe, spreadsheet_safe

__all__ = [
    "ALIASES",
    "CATEGORY_WORDS",
    "FIELDS",
    "PRICE_LIMIT",
    "REQUIRED_FIELDS",
    "Catalogue",
    "PriceFormat",
    "check_photos",
    "path_safe",
    "read_catalogue",
    "read_passthrough",
    "spreadsheet_safe",
    "write_refusals_csv",
]
