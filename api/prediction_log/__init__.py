"""Every prediction that is answered → spool on disk → database → export, joined with the truth."""
