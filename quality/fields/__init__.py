"""The column dictionary: each name once, with its meaning. One file per domain; a name stands in exactly one of them."""
