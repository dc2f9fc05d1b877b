"""An OpenID Connect provider in a process of its own: oidc-provider-mock, which asks for registered clients and for PKCE.

Argument: port. It misbehaves as the last PUT /vices says:
  alg: "none", or "HS256" with the public key as the secret
  stranger: true, to sign with a key that is not published
  token: a status, or "huge", that the token endpoint answers
  issuer: what the discovery document says
  auth_methods: how it says that clients of the token endpoint prove who they are
  id_token_without: claims that only the userinfo tells
POST /rotate puts another key in the place of the published one.
"""

import os
import sys

os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"

import flask
import werkzeug.serving
from authlib import jose
from authlib.oauth2 import rfc7636
from authlib.oauth2.rfc6749 import InvalidRequestError
from joserfc.jwk import OctKey
from oidc_provider_mock import _app

challenges = {}
vices = {}


class CodeChallenge(rfc7636.CodeChallenge):
    def validate_code_challenge(self, grant, redirect_uri):
        if grant.request.payload.data.get("code_challenge_method") != "S256":
            raise InvalidRequestError("PKCE with S256 is required")
        super().validate_code_challenge(grant, redirect_uri)

    def get_authorization_code_challenge(self, code):
        return challenges[code.code]

    def get_authorization_code_challenge_method(self, code):
        return "S256"


class Grant(_app.AuthorizationCodeGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_basic", "client_secret_post", "none"]

    def save_authorization_code(self, code, request):
        challenges[code] = request.payload.data["code_challenge"]
        super().save_authorization_code(code, request)


class OpenIDCode(_app.OpenIDCode):
    def __call__(self, grant):
        CodeChallenge(required=True)(grant)
        super().__call__(grant)

    def get_jwt_config(self, grant, client=None):
        config = super().get_jwt_config(grant, client)
        config["alg"] = vices.get("alg", config["alg"])
        if config["alg"] == "HS256":
            public_key = _app.storage.jwk.as_pem(is_private=False)
            config["key"] = OctKey.import_key(public_key).as_dict(is_private=True)
        elif vices.get("stranger"):
            config["key"] = jose.RSAKey.generate_key(is_private=True).as_dict(is_private=True)
        return config

    def generate_user_info(self, user, scope):
        claims = super().generate_user_info(user, scope)
        return {name: value for name, value in claims.items() if name not in vices.get("id_token_without", [])}


_app.AuthorizationCodeGrant = Grant
_app.OpenIDCode = OpenIDCode
app = _app.app(require_client_registration=True, require_nonce=True)


@app.put("/vices")
def set_vices():
    vices.clear()
    vices.update(flask.request.json)
    return "", 204


@app.post("/rotate")
def rotate():
    _app.storage.jwk = jose.RSAKey.generate_key(is_private=True)
    return "", 204


@app.before_request
def fail():
    vice = vices.get("token")
    if flask.request.path == "/oauth2/token" and vice == "huge":
        return flask.Response(b"x" * 10_000_000)
    if flask.request.path == "/oauth2/token" and vice:
        return flask.jsonify({"error": "server_error"}), vice


@app.after_request
def lie(response):
    if flask.request.path == "/.well-known/openid-configuration":
        document = response.get_json()
        document["issuer"] = vices.get("issuer", document["issuer"])
        if "auth_methods" in vices:
            document["token_endpoint_auth_methods_supported"] = vices["auth_methods"]
        response.set_data(flask.json.dumps(document))
    return response


server = werkzeug.serving.make_server("127.0.0.1", int(sys.argv[1]), app, threaded=True)
print("listening on", server.server_port, flush=True)
server.serve_forever()
