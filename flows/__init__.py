"""Order, placement, retries, what the UI shows. The only place with Prefect."""
