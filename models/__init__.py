"""What is trained or fitted, and pure mathematics. No Prefect, MLflow, DVC or network."""
