"""Drawings of state machines: as SVG, as Mermaid text, and in notebooks.

Each module is one stage::

    outcomes           what became of each state, read from a history
    transitions        the ways out of a state, with the words that label them
    layers, crossings, alignment, layered     a layered (Sugiyama) layout of boxes and links; knows nothing of states
    measure            the width of text, and text made to fit
    drawing            boxes, labels and routes of a machine, with the machines inside it
    icons, palette, svg, mermaid, notebook    what is written
"""
