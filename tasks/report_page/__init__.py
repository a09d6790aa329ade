"""The parts of the report's page: evidence, plot tables, figures, samples, template and style."""
