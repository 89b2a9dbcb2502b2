"""One frozen dataclass a stage; values check themselves at birth. Standard library only."""
