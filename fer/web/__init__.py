"""The web page and its JSON endpoint: `server.create` puts together what the other modules do.

`guard` lets requests in, `pictures` labels one picture, `streams` a moving one, `videos` a file. Nothing that a visitor
sends is ever used as a path or an address.
"""
