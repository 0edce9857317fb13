"""The way of a packet, from the client to the Pod, and why it is that one.

Enters: a target (a URL, a Service, an Ingress) and `Facts`: what the compiler knows, what the data
plane was given. Leaves: an `Explanation`, or a `Refusal` that names what the target may have meant.
`control.program` asks for the running program, `cli` for a folder of manifests; `cli.explain`
draws.

Pure: the same facts give the same explanation. Nothing here decides anything: whatever compiling
has decided is looked up, or asked again of the very function that decided it.
"""
