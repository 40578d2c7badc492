"""Z-Image-Turbo in this process, on one GPU or on the CPU: the diffusers classes, and a faster path beside them.

What it is:       `create(options)` gives the engine. `options` says what it can be told; `weights`, `single_file`,
                  `lora`, `quantized` and `loading` bring a model in and refuse what is wrong with it; `memory`
                  chooses how it is held and what to do when memory runs out; `stock` draws with the diffusers
                  pipelines, `fast` with static shapes; `gate` and `frames` refuse what cannot be trusted; `engine`
                  puts them together.
May import:       imaging, domain, errors, clock, settings, engines.base, engines.registry and engines.drawing.
May touch:        one GPU (or the CPU), the files of the model it is told, and the Hugging Face hub when told a hub id.
Never:            shares a pipeline between threads, reuses a generator, or returns a frame it has reason to doubt.
"""
