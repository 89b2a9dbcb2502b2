"""One frozen dataclass per stage; values check themselves when made. Standard library only."""
