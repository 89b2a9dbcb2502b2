"""What runs on the device: encoders, the model folder, batches on their way."""

DESCRIPTION = "model.json"  # makes a folder a model's; here, for whoever asks without torch
