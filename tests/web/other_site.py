"""A web server of somebody else's, whose pages the visitor happens to open."""

import contextlib
import http.server
import ssl
import threading


class OtherSite:
    """Serves one page at each path, and sets the cookies that it is told to.

    On 127.0.0.1 it is as close to the gate as another server can be: the same host, so that to the browser it is the
    same site, its requests carry even cookies that are `SameSite=Strict`, and its own cookies reach the gate.
    """

    def __init__(self, host, port):
        self.url = f"https://{host}:{port}"
        self.pages = {}
        self.cookies = []

    def page(self, path, html):
        self.pages[path] = html
        return self.url + path


@contextlib.contextmanager
def other_site(host, certificate):
    site = None

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            html = site.pages.get(self.path.split("?")[0])
            self.send_response(404 if html is None else 200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            for cookie in site.cookies:
                self.send_header("Set-Cookie", cookie)
            self.end_headers()
            self.wfile.write((html or "").encode())

        def log_message(self, *_):
            pass

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, *_):
            # The browser breaks off its first connections, until it knows that the test accepts the certificate.
            pass

    server = Server(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    # Not at once: a browser connects ahead of need, and nobody else would be served until it says something.
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    site = OtherSite(host, server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
