"""Labelling by hand: a folder of scans, a page in the browser, and a table of labels."""
