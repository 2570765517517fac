"""The gate by its API, as programs use it, and kubectl through it."""

import base64
import dataclasses
import itertools
import json
import pathlib
import ssl
import subprocess
import urllib.error
import urllib.request

PASSWORD = "a password for the tests of pages"


@dataclasses.dataclass
class User:
    id: str
    name: str
    # Of the session in which the test does with the API what it does not do with a browser.
    bearer: str
    password: str = PASSWORD


class Gate:
    def __init__(self, facts):
        self.url = facts["url"]
        self._facts = facts
        self._trust = ssl.create_default_context(cafile=facts["ca_file"])
        self._numbers = itertools.count(1)
        self.administrator = self._log_in("admin", facts["password"])

    def user(self, name="somebody", admin=False, **fields):
        """A new user; the name gets a number, so that every test can have its own."""
        name = f"{name} {next(self._numbers)}"
        body = {"username": name, "password": PASSWORD, "enabled": True, "admin": admin, **fields}
        made = self.api("POST", "/v3/users", body, self.administrator.bearer)
        return User(made["id"], name, self._log_in(name, PASSWORD).bearer)

    def token(self, user, **fields):
        """A new token of theirs: its name and what a client presents."""
        made = self.api("POST", "/v3/tokens", fields, user.bearer)
        return made["id"], made["token"]

    def tokens(self, user):
        """Everything that can be said of their tokens but when they were used."""
        listed = self.api("GET", "/v3/tokens?me=true", None, user.bearer)["data"]
        used = ("lastUsedAt", "lastUsedAddress", "lastUsedUserAgent")
        return {token["id"]: {name: token[name] for name in token if name not in used} for token in listed}

    def api(self, method, path, body=None, bearer=None):
        status, answer = self.ask(method, path, body, bearer)
        assert status < 300, f"{method} {path}: {status} {answer}"
        return answer

    def ask(self, method, path, body=None, bearer=None, headers=None):
        """One request: its status and its JSON."""
        headers = {"Accept": "application/json", **(headers or {})}
        if bearer:
            headers["Authorization"] = f"Bearer {bearer}"
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, context=self._trust, timeout=20) as response:
                return response.status, _json(response)
        except urllib.error.HTTPError as error:
            return error.code, _json(error)

    def kubectl(self, bearer, *arguments):
        """kubectl with that token and nothing else."""
        ca = base64.b64encode(pathlib.Path(self._facts["ca_file"]).read_bytes()).decode()
        cluster = {"server": self.url, "certificate-authority-data": ca}
        return self.kubectl_with(json.dumps({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "it", "cluster": cluster}],
            "users": [{"name": "it", "user": {"token": bearer}}],
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
            "current-context": "it",
        }), *arguments)

    def kubectl_with(self, kubeconfig, *arguments):
        directory = pathlib.Path(self._facts["directory"])
        path = directory / f"web-{next(self._numbers)}.kubeconfig"
        path.write_text(kubeconfig)
        command = [self._facts["kubectl"], f"--kubeconfig={path}", *arguments]
        return subprocess.run(command, env={"HOME": str(directory)}, capture_output=True, text=True, timeout=60)

    def _log_in(self, name, password):
        body = {"username": name, "password": password, "responseType": "json"}
        login = self.api("POST", "/v3-public/localProviders/local?action=login", body)
        return User(login["userId"], name, login["token"], password)


def _json(response):
    text = response.read()
    try:
        return json.loads(text)
    except ValueError:
        return text.decode("utf-8", "replace")
