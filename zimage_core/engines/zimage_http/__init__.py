"""Engines behind `POST /v1/generate`: our own server, and the small FastAPI services that teams run."""
