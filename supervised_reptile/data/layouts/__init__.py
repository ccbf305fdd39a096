"""The layouts in which data sets lie on disk: folders, archives, CSVs and pickles."""
