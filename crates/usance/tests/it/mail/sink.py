"""A mail server as tests need it: it keeps what it takes, and is as moody as a file says.

Arguments: port, directory, and `tls` for a server that wants STARTTLS and a password. The file `mood` in the directory holds
an answer of four or five hundred to recipients or, after `sender `, to senders, or `stall`; without it everything is taken. What is taken goes into the file
`mails`, one JSON object a line. With `tls` the certificate that signs its own is in `ca.pem`.
"""

import asyncio
import json
import ssl
import sys
from email import message_from_bytes, policy
from pathlib import Path

from aiosmtpd.smtp import SMTP, AuthResult

port, directory = int(sys.argv[1]), Path(sys.argv[2])
wants_tls = "tls" in sys.argv[3:]


def mood():
    file = directory / "mood"
    return file.read_text().strip() if file.exists() else ""


class Sink:
    async def handle_MAIL(self, server, session, envelope, address, options):
        if mood().startswith("sender "):
            return mood().removeprefix("sender ")
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(self, server, session, envelope, address, options):
        if mood()[:1] in ("4", "5"):
            return mood()
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        if mood() == "stall":
            print("stalled", flush=True)
            await asyncio.sleep(3600)
        message = message_from_bytes(envelope.content, policy=policy.default)
        mail = {
            "envelope_from": envelope.mail_from,
            "envelope_to": envelope.rcpt_tos,
            "headers": [[name, str(value)] for name, value in message.items()],
            "text": message.get_body(("plain",)).get_content(),
            "html": message.get_body(("html",)).get_content(),
            "is_private": session.ssl is not None,
        }
        with open(directory / "mails", "a") as mails:
            mails.write(json.dumps(mail) + "\n")
        return "250 OK"


def authenticate(server, session, envelope, mechanism, data):
    return AuthResult(success=(data.login, data.password) == (b"ada@example.com", b"hush:hush"))


def options():
    if not wants_tls:
        return {}
    import trustme

    authority = trustme.CA()
    authority.cert_pem.write_to_path(directory / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    return {
        "tls_context": context,
        "require_starttls": True,
        "auth_required": True,
        "authenticator": authenticate,
    }


async def serve():
    loop, own = asyncio.get_running_loop(), options()
    server = await loop.create_server(lambda: SMTP(Sink(), **own), "127.0.0.1", port)
    print("listening on", server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(serve())
