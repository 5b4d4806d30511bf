"""What is measured: k-NN, linear probe and profile, and the parts of dense and fine-tuning models."""
