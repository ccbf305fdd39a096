"""Drawn alphabets: a data set in Omniglot's layout without a download."""
