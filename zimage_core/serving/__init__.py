"""An engine behind HTTP: weights stay loaded between runs, and several machines share one GPU.

What it is:       a FastAPI application around one resident engine.
May import:       engines, imaging, storage, settings, clock, domain, errors.
May touch:        the sockets it listens on, its own folder of tasks, the GPU's driver for readings.
Never:            grades, publishes, or knows the ledger of a run.
"""
