"""Drawings of state machines: as SVG, as Mermaid text, and in notebooks.

Each module is one stage::

    outcomes, wording                         what became of each state, read from a history, and the words for it
    transitions                               the ways out of a state, with the words that label them
    layers, crossings, alignment, layered     a layered (Sugiyama) layout of boxes and links; knows nothing of states
    measure                                   the width of text, and text made to fit
    shapes, cards, drawing                    a machine as cards, routes and labels, with the machines inside it
    palette, icons, svg, mermaid, notebook    what is written
"""
