"""Review of uncertain images by people.

``annotations`` is the file of annotations, ``queue`` the images to review, ``session`` the session of one reviewer,
``pages`` and ``server`` the local web page.

Internal: may change without notice.
"""
