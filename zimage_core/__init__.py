"""The core of zimage: every noun and every rule of turning a catalogue into published images.

What it is:       a library of rooms (see DESIGN in docs/design.md); each room's `__init__` is its card.
May import:       nothing above it; `flows` and `tasks` import this package, never the other way round.
May touch:        what each room's card allows.
Never:            imports Prefect.
"""
