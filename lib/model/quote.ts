/**
 * The packet that an ICMP error quotes, with and without its carrier. An error is about what its
 * writer saw; who sent the packet, or passed it on, knows it by another form.
 */

import type { Transport } from "../rules/types.ts";
import { join, viewOf } from "./bytes.ts";
import {
  type Carrier,
  carrierHeader,
  hasCarrierFields,
  hasCarrierSequence,
  OVERHEAD,
  unspecified,
} from "./carrier.ts";
import { checksumOfSum, onesComplementSum, pseudoHeader, subtractSum } from "./checksum.ts";
import { type Flow, flowOf } from "./frame.ts";
import type { Addresses, IpVersion } from "./ip-version.ts";
import { PROTOCOL } from "./protocol.ts";
import { readdress, setChecksum, withPort } from "./transport.ts";

/** What every router quotes behind the IP header (RFC 792): enough for the ports. */
const QUOTED_AT_LEAST = 8;

/** A quoted packet of TCP or UDP, taken apart as far as it goes. */
export interface Quote {
  readonly version: IpVersion;
  readonly ip: Uint8Array;
  /** What is quoted of the TCP or UDP header and all that follows it. */
  readonly transport: Uint8Array;
  /** Length of header and payload together before they were cut off. */
  readonly length: number;
  readonly addresses: Addresses;
  readonly flow: Flow;
}

/** A quote that shows a carrier, and what it would carry if it carried that transport. */
export interface QuotedCarrier {
  readonly carrier: Carrier;
  readonly inner: Flow;
}

/**
 * Reads what an error of this IP version quotes, if that is the beginning of a TCP or UDP packet
 * without options.
 */
export function readQuote(bytes: Uint8Array, version: IpVersion): Quote | undefined {
  const { headerLength } = version;
  if (bytes.length < headerLength + QUOTED_AT_LEAST) return undefined;
  if (!version.beginsPlainly(bytes)) return undefined;
  const ip = bytes.slice(0, headerLength);
  const transport = version.transportOf(ip);
  if (transport !== "tcp" && transport !== "udp") return undefined;
  // A packet that says it is shorter than what is quoted of it says nothing.
  const length = version.packetLengthOf(ip) - headerLength;
  if (length < QUOTED_AT_LEAST) return undefined;
  const header = bytes.slice(headerLength);
  const addresses = version.addressesOf(ip);
  const flow = flowOf(addresses, transport, header);
  return { version, ip, transport: header, length, addresses, flow };
}

/**
 * What the quote's carrier may carry, most likely first. "too short": it is a carrier, and too
 * little is quoted of what is in it. Of a TCP header that is not all there, the sequence number has
 * to tell. UDP's can never be told from that of any other packet: then there is nothing to say.
 */
export function readQuotedCarrier(quote: Quote): readonly QuotedCarrier[] | "too short" {
  const { flow, transport: header, length, addresses } = quote;
  const overhead = OVERHEAD[flow.transport];
  const inner = header.slice(overhead);
  if (flow.transport === "tcp") {
    // RFC 792 promises no more than 8 bytes, among them the sequence number.
    if (header.length < overhead) return hasCarrierSequence(header) ? "too short" : [];
    if (!hasCarrierFields(header)) return [];
  }
  if (inner.length < QUOTED_AT_LEAST) return flow.transport === "tcp" ? "too short" : [];

  const innerLength = length - overhead;
  if (innerLength < QUOTED_AT_LEAST) return [];
  const { transport, sport, dport } = flow;
  const as = (innerTransport: Transport) => ({
    carrier: { transport, sport, dport },
    inner: flowOf(addresses, innerTransport, inner),
  });
  return viewOf(inner).getUint16(4) === innerLength ? [as("udp"), as("tcp")] : [as("tcp")];
}

/** The quote of the packet that was in the quoted carrier. */
export function unwrap(quote: Quote, inner: Transport): Uint8Array {
  const overhead = OVERHEAD[quote.flow.transport];
  const { version } = quote;
  const length = version.packetLengthOf(quote.ip) - overhead;
  const ip = version.reframe(quote.ip, PROTOCOL[inner], length);
  const header = quote.transport.slice(overhead);
  return join(ip, readdress(header, inner, unspecified(quote.addresses), quote.addresses));
}

/** The quote of the carrier in which the quoted packet came, from that port of its sender. */
export function wrap(quote: Quote, carrier: Carrier, sport: number): Uint8Array {
  const { version, addresses, length } = quote;
  const { transport } = quote.flow;
  const own =
    sport === quote.flow.sport
      ? quote.transport
      : withPort(quote.transport, transport, "sport", sport);
  const inner = readdress(own, transport, addresses, unspecified(addresses));
  const header = carrierHeader(carrier, length);
  setChecksum(header, carrier.transport, checksumAsItCame(quote, carrier, header));
  const packetLength = version.packetLengthOf(quote.ip) + header.length;
  const ip = version.reframe(quote.ip, PROTOCOL[carrier.transport], packetLength);
  return join(ip, header, inner);
}

/**
 * The payload is cut off, but need not be there: with a right checksum in it, header and payload
 * sum to the complement of their pseudo header.
 */
function checksumAsItCame(quote: Quote, carrier: Carrier, header: Uint8Array): number {
  const { addresses, length, flow } = quote;
  const outer = pseudoHeader(addresses, PROTOCOL[carrier.transport], header.length + length);
  const inner = pseudoHeader(unspecified(addresses), PROTOCOL[flow.transport], length);
  return checksumOfSum(subtractSum(onesComplementSum(outer, header), onesComplementSum(inner)));
}
