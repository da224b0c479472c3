"""The web page and its HTTP API: `server.create_app` puts the other modules together.

Four routers, one for each kind of input: `images`, `webcam`, `cameras`, `videos`. They share one `state.State`.
`security` and `uploads` wrap all of them, `protocol` sits below, `limits` holds every number that a client can meet.
Nothing that a client sends is ever used as a path or an address.
"""
