"""The studio: a CPU renderer that sets real product photos in scenes. No weights, no network, no account.

What it is:       `create(options)` gives the engine; `stage` draws, on `look` (colours, materials), `backdrop`,
                  `interior`, `gobo` (what is behind), `floor`, `material` and the materials (`wood`, `stone`, `cloth`,
                  `tile`), `camera`, `noise`, `tone`. Where the product goes, its shadows and packshots are imaging's.
May import:       imaging, domain, errors, clock, engines.base and engines.registry.
May touch:        pixels in memory.
Never:            alters a product pixel: what is opaque in the cut-out is pasted last, as resampled from the photo.
"""

from zimage_core.engines.studio.engine import MODES, RENDERER_VERSION, StudioEngine, create

__all__ = ["MODES", "RENDERER_VERSION", "StudioEngine", "create"]
