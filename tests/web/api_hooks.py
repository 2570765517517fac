"""How Schemathesis proves who it is: with a session that begins anew whenever a test has ended it.

So nothing that ends sessions has to be left out: logging out, deleting tokens by filter, disabling the own token.
"""

import os
import time

import requests
import schemathesis

URL = os.environ["PORTCULLIS_WEB_URL"]
CA_FILE = os.environ["PORTCULLIS_WEB_CA_FILE"]
LOGIN = {"username": os.environ["PORTCULLIS_WEB_USER"], "password": os.environ["PORTCULLIS_WEB_PASSWORD"]}


# No interval: who is asked for every request looks every time.
@schemathesis.auth(refresh_interval=None)
class Session:
    def __init__(self):
        self.bearer = None
        self.client = requests.Session()
        # The system's variables would name other authorities.
        self.client.trust_env = False
        self.client.verify = CA_FILE

    def get(self, case, context):
        if self.bearer is None or not self.lives():
            self.bearer = self.log_in()
        return self.bearer

    def set(self, case, data, context):
        case.headers["Authorization"] = f"Bearer {data}"

    def lives(self):
        authorization = {"Authorization": f"Bearer {self.bearer}"}
        return self.client.get(f"{URL}/v3/tokens?limit=1", headers=authorization).status_code == 200

    def log_in(self):
        while True:
            answer = self.client.post(f"{URL}/v3-public/localProviders/local?action=login", json=LOGIN)
            if answer.status_code != 429:
                answer.raise_for_status()
                return answer.json()["token"]
            # The logins that are made up have used up what an address may try.
            time.sleep(float(answer.headers["Retry-After"]))
