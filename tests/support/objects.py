"""A small object store that speaks as much of the S3 protocol as listing and reading need."""

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, unquote, urlsplit
from xml.sax.saxutils import escape


@contextmanager
def store(objects: dict[str, bytes]):
    """Serves objects by key. Yields url(key): an address of bucket "faces" with a key and a password in it."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def answer(self, code, body=b"", **headers):
            self.send_response(code)
            for name, value in {"Content-Length": len(body), **headers}.items():
                self.send_header(name.replace("_", "-"), str(value))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def do_GET(self):
            url = urlsplit(self.path)
            key, query = unquote(url.path).removeprefix("/faces").removeprefix("/"), dict(parse_qsl(url.query))
            if "list-type" in query:
                self.answer(200, listing(query.get("prefix", "")), Content_Type="application/xml")
            elif key not in objects:
                self.answer(404)
            elif (part := self.headers.get("Range")) and self.command == "GET":
                first, last = map(int, part.removeprefix("bytes=").split("-"))
                total = len(objects[key])
                self.answer(206, objects[key][first : last + 1], Content_Range=f"bytes {first}-{last}/{total}")
            else:
                self.answer(200, objects[key])

        do_HEAD = do_GET

    def listing(prefix):
        inside = {key[len(prefix) :].partition("/")[:2] for key in sorted(objects) if key.startswith(prefix)}
        keys = [
            f"<Contents><Key>{escape(prefix + name)}</Key><Size>{len(objects[prefix + name])}</Size></Contents>"
            for name, slash in inside
            if not slash
        ]
        folders = [
            f"<CommonPrefixes><Prefix>{escape(prefix + name)}/</Prefix></CommonPrefixes>"
            for name, slash in inside
            if slash
        ]
        content = f"<KeyCount>{len(inside)}</KeyCount><IsTruncated>false</IsTruncated>{''.join(keys + folders)}"
        return f'<?xml version="1.0"?><ListBucketResult>{content}</ListBucketResult>'.encode()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    place = f"endpoint_override=127.0.0.1:{server.server_port}&scheme=http&region=us-east-1"
    try:
        yield lambda key: f"s3://user:secret@faces/{key}?{place}"
    finally:
        server.shutdown()
        server.server_close()
