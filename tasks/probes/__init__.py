"""What the data did besides: contamination, membership, verbatim extraction, toxicity, loss by age. Each is asked only where a study says so."""
