"""Pixels: photos in, cut-outs, composites, shadows, overlays, encoded files out.

What it is:       pure functions over numpy arrays, one subject per module: `pixels` (read, resize, colour spaces);
                  `cutout` (plain-backdrop photo to RGBA) on `backdrop`, `silhouette`, `soft_shadow`, `see_through`,
                  `openings`, `rim`, `regions`, `outline`, `matte`, `judging`, `hard_shadow`; `given_matte` (by a matte
                  from elsewhere), `cutters` (other tools, by name) and `rembg_cutter`; `placing` (where the product
                  goes in a scene), `composite` (its pixels there), `shadow` and `set_down` (what it does to the floor),
                  `packshot`; `control` (what a model is shown of it); `overlay` and `fonts` (text drawn by code);
                  `encode` (files for channels).
May import:       domain, errors; numpy, OpenCV, Pillow.
May touch:        pixels in memory; the photo, font and model files it is handed or asked to find.
Never:            the network, the ledger, an engine, a clock, randomness; judging whether a picture is good.

Arrays are uint8, RGB order, sRGB, shape (H, W, 3) unless a function says otherwise. This file imports nothing on
purpose: every user imports the submodule it needs (`from zimage_core.imaging.cutout import CutOut`) and loads no other.
"""
