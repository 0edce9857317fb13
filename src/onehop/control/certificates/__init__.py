"""What is to be said of certificates: of each Secret, and of each host.

Enters: what objects ask for (compile), how the engine is doing with it (acme), and what the data
plane shows (served). Leaves: reports, and stories of hosts, as `onehop cert` prints them.

Pure: the same facts give the same words. Nothing here decides anything.
"""
