"""Reports: drawing, charts and the evaluation report, as HTML and SVG from plain data.

Internal: may change without notice.
"""
