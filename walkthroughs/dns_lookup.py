"""Query the name servers of a hosted zone on behalf of a client elsewhere."""

import socket

import dns.edns
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype

from .walkthrough import Target

TIMEOUT_SECONDS = 30  # for a busy computer


def resolve(target: Target, zone_id: str, name: str, record_type: str, client_address: str) -> list[str]:
    """Return the addresses of `name` for a client at `client_address` (IPv4).

    The query goes to the zone's name servers, so that no cache responds. It contains the client's
    network (EDNS client subnet), by which Route 53 selects a record.
    """
    subnet = dns.edns.ECSOption(client_address, 24)
    query = dns.message.make_query(name, record_type, use_edns=True, options=[subnet])
    query.flags &= ~dns.flags.RD
    server, port = _name_server(target, zone_id)
    response = dns.query.udp(query, server, timeout=TIMEOUT_SECONDS, port=port)
    assert response.rcode() == dns.rcode.NOERROR, f"{name}: {dns.rcode.to_text(response.rcode())}"
    rdtype = dns.rdatatype.from_text(record_type)
    return [record.to_text() for rrset in response.answer if rrset.rdtype == rdtype for record in rrset]


def _name_server(target: Target, zone_id: str) -> tuple[str, int]:
    if target.endpoints:
        return "127.0.0.1", target.endpoints.dns
    zone = target.client("route53").get_hosted_zone(Id=zone_id)
    return socket.gethostbyname(zone["DelegationSet"]["NameServers"][0]), 53
