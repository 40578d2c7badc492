"""An engine behind HTTP: weights stay loaded between runs, and several machines share one GPU.

What it is:       a FastAPI application around one resident engine. `waiting` orders what waits, `desk` draws it in
                  batches on threads, `results` keeps the pictures, `taskbook` the promises; `door` decides who comes
                  in (`callers`, `signatures`, `rates`), `intake` what a body asks for; the `routes_*` answer,
                  `openapi` and `docs_page` describe them, `app` puts them together, `run` starts and drains the
                  process.
May import:       engines, imaging, prompting, storage, processes, settings, clock, domain, errors.
May touch:        the sockets it listens on, its own folder of tasks and pictures, the GPU's driver for readings.
Never:            grades, publishes, or knows the ledger of a run.
"""
