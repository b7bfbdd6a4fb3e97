// SPDX-License-Identifier: Apache-2.0
// Addresses as kube-proxy's configuration writes them: leading zeros are tolerated, host bits in networks too.
import { type Address, parseAddress } from '../model/address.ts';
import { type Cidr, parseCidr } from '../model/cidr.ts';

export interface HostPort {
  readonly host: string;
  readonly port: string;
}

/** As parseAddress, but "010.000.0.1" is 10.0.0.1. Source: ParseIPSloppy of k8s.io/utils/net. */
export function parseSloppyAddress(text: string): Address | undefined {
  return parseAddress(withoutLeadingZeros(text));
}

/** As parseCidr, with a sloppy address and a length like "/08". */
export function parseSloppyCidr(text: string): Cidr | undefined {
  const [address = '', length = '', ...rest] = text.split('/');
  if (rest.length > 0 || !/^\d{1,3}$/.test(length)) return undefined;
  return parseCidr(`${withoutLeadingZeros(address)}/${Number(length)}`);
}

function withoutLeadingZeros(text: string): string {
  return /^\d+(?:\.\d+){3}$/.test(text) ? text.split('.').map(Number).join('.') : text;
}

/** "host:port" or "[host]:port", neither checked; undefined for another form. Source: Go's net.SplitHostPort. */
export function splitHostPort(text: string): HostPort | undefined {
  const match = /^(?:\[([^[\]]*)\]|([^:[\]]*)):([^:[\]]*)$/.exec(text);
  return match ? { host: match[1] ?? match[2] ?? '', port: match[3] ?? '' } : undefined;
}

/** A bare IP address gets the port; anything else stays as it is, for validation to judge. */
export function withDefaultPort(text: string, port: number): string {
  if (splitHostPort(text) !== undefined || parseSloppyAddress(text) === undefined) return text;
  return text.includes(':') ? `[${text}]:${port}` : `${text}:${port}`;
}
