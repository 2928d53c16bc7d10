"""Language models behind one protocol: local weights and the embedded model."""
