"""z-image-turbo at DashScope / Model Studio."""
