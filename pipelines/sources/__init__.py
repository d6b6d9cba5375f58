"""Where records come from: exchanges, chains, publishers, and files that people own; beside them what all share."""
