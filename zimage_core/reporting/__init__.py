"""What people read after a run: the contact sheet for the eye, the CSV for the spreadsheet, the summary for the record.

What it is:       outcomes in, files out; the same results give the same bytes, so no clock and no seconds on the sheet.
May import:       errors, domain, storage, catalogue (for what is safe in a spreadsheet); jinja2 and Pillow.
May touch:        the files it is told to write.
Never:            decides anything about a picture, fetches anything, or lets text of a catalogue become markup.
"""

from zimage_core.reporting.contact_sheet import SHOTS_PER_PAGE, write_contact_sheet
from zimage_core.reporting.report_csv import REPORT_COLUMNS, write_report_csv
from zimage_core.reporting.summary import SceneCount, Summary, summarise

__all__ = [
    "REPORT_COLUMNS",
    "SHOTS_PER_PAGE",
    "SceneCount",
    "Summary",
    "summarise",
    "write_contact_sheet",
    "write_report_csv",
]
