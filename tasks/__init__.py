"""Verbs: one Prefect task per file, each a thin call into the core.

What it is:       the stages of the river as Prefect tasks.
May import:       zimage_core.
May touch:        Prefect's retries, concurrency slots and artifacts.
Never:            arithmetic or thresholds; they belong to the core.
"""
