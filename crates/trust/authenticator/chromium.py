#!/usr/bin/env python3
"""Has a real Chromium sign a challenge with a passkey, and prints what a page gets, for the tests of `trust`.

    chromium.py CHALLENGE > ../tests/sshsig/assertions/chromium.txt

CHALLENGE is in base64url. Chromium's own virtual authenticator holds the passkey; the pages are served here. Needs
`chromium` and nothing else; the tests read the file and do not run this.
"""
import base64, functools, http.server, json, os, subprocess, sys, tempfile, threading

PORT = 41234
ORIGIN = f"http://localhost:{PORT}"

# Pages: the one that signs, and one of another origin that has it in a frame.
SIGNS = b"""<!doctype html><title>approve</title><script>
    const bytes = text => Uint8Array.from(atob(text.replace(/-/g, '+').replace(/_/g, '/')), c => c.charCodeAt(0));
    const text = buffer => btoa(String.fromCharCode(...new Uint8Array(buffer)))
        .replace(/\\+/g, '-').replace(/\\//g, '_').replace(/=+$/, '');
    const register = async extensions => {
        const made = await navigator.credentials.create({publicKey: {
            challenge: new Uint8Array(32), rp: {id: 'localhost', name: 'Countersign'},
            user: {id: new Uint8Array([1]), name: 'anna', displayName: 'Anna'},
            pubKeyCredParams: [{type: 'public-key', alg: -7}],
            authenticatorSelection: {residentKey: 'required', userVerification: 'required'}, extensions,
        }});
        return {id: text(made.rawId), point: text(made.response.getPublicKey().slice(-65))};
    };
    const sign = async (challenge, id, extensions) => {
        const {response} = await navigator.credentials.get({publicKey: {
            challenge: bytes(challenge), rpId: 'localhost', userVerification: 'required',
            allowCredentials: [{type: 'public-key', id: bytes(id)}], extensions,
        }});
        return {authenticator_data: text(response.authenticatorData), client_data: text(response.clientDataJSON),
                signature: text(response.signature)};
    };
    onmessage = ({data, source}) => sign(...data)
        .then(got => source.postMessage(got, '*'), error => source.postMessage(String(error), '*'));
</script>"""
FRAMES = f"""<!doctype html><title>evil</title>
<iframe src="{ORIGIN}/" allow="publickey-credentials-get {ORIGIN}"></iframe><script>
    const sign = async (...asked) => {{
        const frame = document.querySelector('iframe');
        frame.focus();
        return new Promise(done => {{
            onmessage = ({{data}}) => done(data);
            frame.contentWindow.postMessage(asked, '*');
        }});
    }};
</script>""".encode()


class Pages(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.end_headers()
        self.wfile.write(FRAMES if self.path == "/frames" else SIGNS)

    def log_message(self, *_):
        pass


class Browser:
    """Chromium, spoken to over two pipes: its descriptors 3 and 4."""

    def __init__(self, folder):
        reads, self.to = os.pipe()
        self.of, writes = os.pipe()
        arguments = ["chromium", "--headless", "--remote-debugging-pipe", "--no-first-run", "--disable-gpu",
                     f"--user-data-dir={folder}"] + (["--no-sandbox"] if os.getuid() == 0 else [])
        shell = f'exec 3<&{reads} 4>&{writes}; exec "$@"'
        self.process = subprocess.Popen(["bash", "-c", shell, "chromium"] + arguments, pass_fds=(reads, writes),
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(reads), os.close(writes)
        self.number, self.left = 0, b""

    def ask(self, method, session=None, **params):
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        os.write(self.to, json.dumps(message).encode() + b"\0")
        while True:
            while b"\0" not in self.left:
                piece = os.read(self.of, 65536)
                if not piece:
                    sys.exit("Chromium is gone")
                self.left += piece
            answer, self.left = self.left.split(b"\0", 1)
            answer = json.loads(answer)
            if answer.get("id") == self.number:
                if "error" in answer:
                    sys.exit(f"{method}: {answer['error']}")
                return answer["result"]


class Page:
    def __init__(self, browser):
        target = browser.ask("Target.createTarget", url="about:blank")["targetId"]
        session = browser.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.ask = functools.partial(browser.ask, session=session)
        self.ask("WebAuthn.enable")
        self.authenticator = self.ask("WebAuthn.addVirtualAuthenticator", options={
            "protocol": "ctap2", "ctap2Version": "ctap2_1", "transport": "usb", "hasResidentKey": True,
            "hasUserVerification": True, "hasCredBlob": True, "isUserVerified": True,
            "automaticPresenceSimulation": True})["authenticatorId"]

    def open(self, url):
        self.ask("Page.navigate", url=url)
        while not self.run(f"location.href == '{url}' && document.readyState == 'complete'"):
            pass

    def run(self, expression):
        done = self.ask("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True, userGesture=True)
        if "exceptionDetails" in done:
            sys.exit(json.dumps(done, indent=1))
        return done["result"].get("value")

    def secret(self):
        held = self.ask("WebAuthn.getCredentials", authenticatorId=self.authenticator)["credentials"][-1]
        # PKCS #8: the 32 bytes after the head of an ECPrivateKey.
        key = base64.b64decode(held["privateKey"])
        secret = key[key.index(bytes.fromhex("0201010420")) + 5:][:32]
        return base64.urlsafe_b64encode(secret).decode().rstrip("=")


def show(name, key, got):
    if not isinstance(got, dict):
        sys.exit(f"{name}: {got}")
    print(f"case {name}\nrp_id localhost")
    for what in ("point", "secret"):
        print(what, key[what])
    for what, value in got.items():
        print(what, value)
    print()


def main():
    challenge = sys.argv[1]
    server = http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Pages)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        browser = Browser(folder)
        print(f"# {browser.ask('Browser.getVersion')['product']}\n")
        page = Page(browser)
        page.open(f"{ORIGIN}/")

        key = page.run("register({credBlob: new Uint8Array([1, 2, 3])})")
        key["secret"] = page.secret()
        sign = lambda extensions="{}": page.run(f"sign('{challenge}', '{key['id']}', {extensions})")
        usual, grown = sign(), sign()
        # Now and then Chromium adds a member, so that nobody compares client data with a template.
        while len(grown["client_data"]) <= len(usual["client_data"]):
            usual, grown = min(usual, grown, key=lambda got: len(got["client_data"])), sign()
        show("as Chromium does it", key, usual)
        show("with the member that Chromium adds", key, grown)
        show("with an extension", key, sign("{getCredBlob: true}"))
        page.open(f"http://127.0.0.1:{PORT}/frames")
        show("in a frame of another page", key, sign())
        browser.ask("Browser.close")
        browser.process.wait(timeout=20)


main()
