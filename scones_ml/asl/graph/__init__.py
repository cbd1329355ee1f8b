"""Drawings of state machines: as SVG, as Mermaid text, and in notebooks.

Each module is one stage::

    outcomes, wording                         the outcome of each state, read from a history, and its wording
    transitions                               the transitions of a state, with their labels
    layers, crossings, alignment, layered     a layered (Sugiyama) layout of boxes and links, independent of states
    measure                                   the width of text, and shortened text
    shapes, cards, drawing                    a machine as cards, routes and labels, with the machines inside it
    palette, icons, svg, mermaid, notebook    the output formats
"""
