"""Planning: products × scenes × sizes → the shots a run promises, before anything is spent.

What it is:       decides for each product which scenes, modes and sizes are made, and names each shot by what decides
                  its pixels; streams Promises and Refusals, and forecasts counts, time, cost and rule conflicts.
May import:       prompting, domain, errors.
May touch:        nothing: products come in as an iterable, promises go out as an iterator.
Never:            renders, stores, asks an engine, or holds more than one product at a time.
"""

from zimage_core.planning.forecast import Conflict, Forecast, ensure_something
from zimage_core.planning.plan import Plan, iter_plan, shot_id_of
from zimage_core.planning.request import check_channels
from zimage_core.planning.sizes import Target, generated_size, targets_for

__all__ = [
    "Conflict",
    "Forecast",
    "Plan",
    "Target",
    "check_channels",
    "ensure_something",
    "generated_size",
    "iter_plan",
    "shot_id_of",
    "targets_for",
]
