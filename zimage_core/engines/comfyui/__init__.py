"""ComfyUI servers, by workflow templates in API format."""
