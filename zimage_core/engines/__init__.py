"""What turns requests into pixels: the seam (`base`), the list of engines (`registry`), and one engine per file.

What it is:       `base.Engine`, a protocol of three names; `base.render_checked`, through which every caller renders;
                  `registry.create_engine`; `studio` (CPU renderer); `fault` (fails on demand, for tests).
May import:       imaging, storage, settings, clock, domain, errors; never another engine.
May touch:        the GPU or the network, each engine in its own file.
Never:            the ledger, grading, publishing, Prefect.
"""
