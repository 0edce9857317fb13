"""Asks CAs about the certificates that are shown, and has their answers shown with these (OCSP).

In go the compiler's inquiries, out come staples, put into the compiler; nobody but `control` knows.
Each host asks for itself: an answer is a few hundred bytes every few days, and needs no agreement.
"""
