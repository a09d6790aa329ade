"""Curation steps, one file per family. `base.py` says what a step is, `config.py` lists those that a recipe may name."""
