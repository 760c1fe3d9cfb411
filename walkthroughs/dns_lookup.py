"""Ask the name servers of a hosted zone, as a caller at some address would be answered."""

import socket

import dns.edns
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype

from .walkthrough import Target

SECONDS = 5


def resolve(target: Target, zone_id: str, name: str, record_type: str, caller: str) -> list[str]:
    """Give the addresses that a caller at `caller` (an IPv4 address) is told.

    The zone's own servers are asked, so that nobody's cache answers; the caller's network goes
    with the query (EDNS client subnet), which is what Route 53 goes by.
    """
    subnet = dns.edns.ECSOption(caller, 24)
    query = dns.message.make_query(name, record_type, use_edns=True, options=[subnet])
    query.flags &= ~dns.flags.RD
    server, port = _server(target, zone_id)
    response = dns.query.udp(query, server, timeout=SECONDS, port=port)
    assert response.rcode() == dns.rcode.NOERROR, f"{name}: {dns.rcode.to_text(response.rcode())}"
    kind = dns.rdatatype.from_text(record_type)
    return [record.to_text() for answer in response.answer if answer.rdtype == kind for record in answer]


def _server(target: Target, zone_id: str) -> tuple[str, int]:
    if target.endpoints:
        return "127.0.0.1", target.endpoints.dns
    zone = target.client("route53").get_hosted_zone(Id=zone_id)
    return socket.gethostbyname(zone["DelegationSet"]["NameServers"][0]), 53
