"""What runs on the device: encoders, the model folder, batches on their way."""
