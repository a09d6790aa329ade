"""One step of work per file: files in, files and small frozen records out. No Prefect."""
