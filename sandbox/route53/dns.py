"""A DNS server on 127.0.0.1, over UDP, that answers from the hosted zones.

Who asks is told by the client subnet of the query (EDNS, RFC 7871), as Route 53 takes it: its
address decides what is near. A query without one comes from here.
"""

import asyncio
from typing import Any

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

from . import places
from .answers import answer


def respond(wire: bytes) -> bytes | None:
    """Answer a query; None to what is none."""
    try:
        query = dns.message.from_wire(wire)
    except dns.exception.DNSException:
        return None
    if query.flags & dns.flags.QR or not query.question:
        return None
    response = dns.message.make_response(query)
    question = query.question[0]
    subnet = next((option for option in query.options if isinstance(option, dns.edns.ECSOption)), None)
    name, kind = question.name.to_text(omit_final_dot=True).lower(), dns.rdatatype.to_text(question.rdtype)
    found = answer(name, kind, places.region_of(subnet.address if subnet else ""))
    if found is None:
        response.set_rcode(dns.rcode.REFUSED)  # no zone of ours
        return response.to_wire()
    response.flags |= dns.flags.AA
    if not found.exists:
        response.set_rcode(dns.rcode.NXDOMAIN)
    if found.values:
        response.answer.append(dns.rrset.from_text_list(question.name, found.ttl, "IN", kind, found.values))
    if subnet:  # the answer holds for the whole subnet that was told
        told = dns.edns.ECSOption(subnet.address, subnet.srclen, subnet.srclen)
        response.use_edns(options=[told])
    return response.to_wire()


class Server(asyncio.DatagramProtocol):
    """The server's side of the socket."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, address: Any) -> None:
        response = respond(data)
        if response:
            self.transport.sendto(response, address)
