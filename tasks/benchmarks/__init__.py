"""What every run is asked after training: bits per byte of held-out text, and benchmarks through lm-eval."""
