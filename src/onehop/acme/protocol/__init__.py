"""RFC 8555 on the wire: signed requests, nonces, pauses, and the CA's objects.

**Why certbot's `acme.client` is not used here**, though its JWS is (`acme.jws`, with josepy). We
read acme 5.9.0 and found that it cannot keep what we promise:

* `ClientV2.new_order` reads all authorizations before it returns the order's URL. A crash or a cut
  connection in between loses the URL, and with it the order.
* `ClientNetwork.post` repeats after `badNonce` once, and throws away the fresh nonce that the
  refusal carries (RFC 8555, section 6.5, has us use it). A CA that rejects many nonces stops it.
* Errors lose the headers of their answer: nobody learns the `Retry-After` of a 429 or 503. While
  it waits for authorizations, it asks once a second, whatever `Retry-After` says.
* Its waits are `time.sleep` in whole seconds. In a thread they cannot be cancelled, and a thousand
  certificates would be a thousand threads.
* `replaces` (RFC 9773, section 5) and the list of an account's orders are missing.

So requests travel by aiohttp, on the event loop, and all of them through one gate
(`transport.Transport`). The tests use `acme.client` as an independent client to compare with.
"""
