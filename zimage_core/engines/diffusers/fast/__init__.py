"""Z-Image with static shapes: the same pictures as the diffusers pipelines at guidance 0, near the card's limit.

What it is:       `text` encodes prompts in trimmed batches; `batching` decides what is drawn together; `schedule` has
                  the sigmas and the noise; `sampler` runs the steps over `transformer` (tables instead of work per
                  step), with `block` and `merging` for arithmetic and weights, `layout` for tokens and positions,
                  `attention` for the fastest kernel, `fp8` for 8-bit products, `graphs` for whole loops launched at
                  once; `repaint` prepares painting around a photo; `decoder` and `transfer` bring pixels home while
                  the next batch is drawn. Guidance above 0, ControlNets and image-to-image are left to the
                  pipelines: the sampler does not do them.
May import:       imaging, domain, errors and `frames` of this engine; torch, diffusers.
May touch:        the device that its weights are on. It keeps weights in merged form and lets the transformer it was
                  given use the same memory (`merging.merged`), so that both can be used and neither is held twice.
Never:            reads files, draws two batches at once, or runs weights it does not know how to merge.
"""
