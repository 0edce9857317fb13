"""How we talk to a Kubernetes API: credentials, requests, lists, watches and one Lease.

Enters: kubeconfig or service account, HTTP. Leaves: decoded structs, and the faults of
`onehop.base.errors`. `source`, `status`, `acme` and `control` import it; it knows no policy.
"""

from onehop.kube.client import CallPatience, Change, Client, Right, WatchPatience, connect
from onehop.kube.collection import Collection, Selection, collection_of
from onehop.kube.credentials import Access
from onehop.kube.event import Event, Head, Progress, Removed, Unreadable, Written
from onehop.kube.lease import Candidacy, Election, ElectionTimes, Leadership, Timekeeping
from onehop.kube.page import Page

__all__ = [
    "Access",
    "CallPatience",
    "Candidacy",
    "Change",
    "Client",
    "Collection",
    "Election",
    "ElectionTimes",
    "Event",
    "Head",
    "Leadership",
    "Page",
    "Progress",
    "Removed",
    "Right",
    "Selection",
    "Timekeeping",
    "Unreadable",
    "WatchPatience",
    "Written",
    "collection_of",
    "connect",
]
