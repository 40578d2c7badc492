"""Reading text back from pixels: is the text that should stand here the text that does?

words       when two texts are the same to a shopper
models      PP-OCRv6 small, from the installed rapidocr package
detection   where lines of text stand
alignment   how far a posterior supports exactly these characters
glyphs      whether each glyph looks like its character, drawn again by `redrawn`
second      tesseract, for a second opinion
reader      the `Reader` that grading is handed, and this process's own
anywhere    an expected text whose place is not known: found, read, compared
"""

from zimage_core.quality.reading.reader import PaddleReader, Reader, Reading, default_reader
from zimage_core.quality.reading.words import closeness, language_of, plain, same_text

__all__ = ["PaddleReader", "Reader", "Reading", "closeness", "default_reader", "language_of", "plain", "same_text"]
