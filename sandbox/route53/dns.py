"""A DNS server for the hosted zones, over UDP on 127.0.0.1.

As in Route 53, the client subnet of a query (EDNS, RFC 7871) decides which Region is nearest. Without
one, the client is near the default Region.
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

from . import latency, routing


def respond(wire: bytes) -> bytes | None:
    """Return the response to a DNS query, or None if `wire` is not a valid query."""
    try:
        query = dns.message.from_wire(wire)
    except dns.exception.DNSException:
        return None
    if query.flags & dns.flags.QR or not query.question:
        return None
    response = dns.message.make_response(query)
    question = query.question[0]
    subnet = next((option for option in query.options if isinstance(option, dns.edns.ECSOption)), None)
    name, record_type = question.name.to_text(omit_final_dot=True).lower(), dns.rdatatype.to_text(question.rdtype)
    resolution = routing.resolve(name, record_type, latency.region_near(subnet.address if subnet else ""))
    if resolution is None:
        response.set_rcode(dns.rcode.REFUSED)  # the name is in no hosted zone
        return response.to_wire()
    response.flags |= dns.flags.AA
    if not resolution.exists:
        response.set_rcode(dns.rcode.NXDOMAIN)
    if resolution.values:
        records = dns.rrset.from_text_list(question.name, resolution.ttl, "IN", record_type, resolution.values)
        response.answer.append(records)
    if subnet:  # the response is valid for the whole subnet
        scope = dns.edns.ECSOption(subnet.address, subnet.srclen, subnet.srclen)
        response.use_edns(options=[scope])
    return response.to_wire()


class Server(asyncio.DatagramProtocol):
    """The protocol of the server's socket."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, address: Any) -> None:
        response = respond(data)
        if response:
            self.transport.sendto(response, address)
