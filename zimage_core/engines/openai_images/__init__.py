"""Engines behind `POST /v1/images/generations`: SGLang Diffusion and vLLM-Omni."""
