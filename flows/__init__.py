"""Sentences: flows that say what happens in which order, and the command line over them.

What it is:       produce, shard, publish, regrade, and the `zimage` command.
May import:       tasks, and the core's public names.
May touch:        Prefect: flows, subflows, suspension, deployments.
Never:            pixels, SQL, HTTP or an engine.
"""
