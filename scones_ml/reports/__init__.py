"""Every page that people look at: drawing, charts, the evaluation report. Plain data in, HTML and SVG out.

Internal: may change without notice.
"""
