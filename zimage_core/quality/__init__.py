"""Quality: is this picture good enough to publish, why not, and what should be changed?

What it is:       `evidence` (what every check looks at), `checks/` (one question per file), `reading/` (text back),
                  `rubric` and rubric.yaml (limits, curves, weights with their sources), `grade` (findings to a letter),
                  `policy` (grades to the next step). Grading and policy are pure: same pixels and rubric, same grade.
May import:       imaging, domain, errors; numpy, OpenCV, pydantic, PyYAML; onnxruntime, pytesseract where text is read.
May touch:        pixels in memory, the rubric file, the OCR models inside the installed rapidocr package.
Never:            the network, the ledger, an engine, a clock, randomness. It never changes a picture.

This file imports nothing on purpose: `policy` and `rubric` load without OpenCV or onnxruntime.
"""
