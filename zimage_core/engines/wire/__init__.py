"""What every engine behind HTTP needs, once: a client, retries with a budget, endpoints, pictures from bytes, answers.

What it is:       `client.Wire` (one connection pool; timeouts that hold, size limits, masked secrets),
                  `transport` (the deadline under it), `replies` (what an answer's status and body mean), `retries`
                  (backoff, budget), `endpoints` (which server next: circuit breaker, adapting concurrency), `pictures`
                  (bytes to pixels, or what came instead), `answers` (many requests at a time), `options`.
May import:       imaging, settings, clock, domain, errors, engines.base; never an engine.
May touch:        the network.
Never:            follows a redirect to another host with our key, trusts an unverified certificate, writes a secret
                  anywhere, repeats a call whose error does not allow it.
"""
