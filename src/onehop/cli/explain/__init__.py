"""`onehop explain`: an Explanation as a tree on a terminal, as a drawing, or as JSON.

Enters: answers of `control.explain`. Leaves: text. `tree` and `drawing` only show; what there is to
say is decided in `control.explain`.
"""
