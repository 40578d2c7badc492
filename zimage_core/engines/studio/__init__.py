"""The studio: a CPU renderer that sets real product photos in scenes. No weights, no network, no account.

What it is:       `create(options)` gives the engine; `packshot` and `stage` draw, on `setting` (where the product
                  goes), `look` (colours, materials), `backdrop`, `interior`, `gobo` (what is behind), `floor`,
                  `material` and the materials (`wood`, `stone`, `cloth`, `tile`), `camera`, `noise`, `tone`.
May import:       imaging, domain, errors, clock, engines.base and engines.registry.
May touch:        pixels in memory.
Never:            alters a product pixel: what is opaque in the cut-out is pasted last, as resampled from the photo.
"""

from zimage_core.engines.studio.engine import MODES, RENDERER_VERSION, StudioEngine, create

__all__ = ["MODES", "RENDERER_VERSION", "StudioEngine", "create"]
