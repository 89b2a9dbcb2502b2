"""What vectors say: neighbors, analogies, pictures, change."""
