"""What every engine behind HTTP needs: one client, retries with a budget, endpoints, pictures from bytes."""
