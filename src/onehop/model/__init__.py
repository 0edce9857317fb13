"""The nouns: what shall be served, said without a word of Kubernetes or of any proxy.

Enters: nothing. Leaves: frozen structs whose equality is equality of meaning. Everybody may
import it; it imports nothing of ours.
"""
