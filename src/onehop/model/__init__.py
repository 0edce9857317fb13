"""The nouns: what shall be served, said without a word of Kubernetes or of any proxy.

Enters: nothing. Leaves: frozen structs whose equality is equality of meaning. Everybody may
import it; it imports nothing of ours.

Frozen values made of frozen values form no cycles, so `gc=False` keeps them out of the cycle
collector's sight: of a hundred thousand endpoints it would otherwise look at half a million.
"""
