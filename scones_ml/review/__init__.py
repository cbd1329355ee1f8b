"""Review: what people say of doubtful images.

``annotations`` is the file of answers, ``queue`` what waits for one, ``session`` one reviewer at work, ``pages`` and
``server`` the web page of it on this machine.

Internal: may change without notice.
"""
