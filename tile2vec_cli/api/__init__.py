"""What commands and notebooks call alike, and the objects that a notebook gets back."""
