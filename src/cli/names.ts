// SPDX-License-Identifier: Apache-2.0
// Names for addresses and ports in listings, and the reading of such names.
import { lookup, lookupService } from 'node:dns/promises';
import { readFileSync } from 'node:fs';
import { type Address, addressFamily } from '../model/address.ts';
import type { SocketAddress } from '../model/connection.ts';
import type { Protocol } from '../model/virtual-service.ts';

/** What a listing prints in place of numbers; undefined leaves the number. */
export interface Names {
  host(address: Address): string | undefined;
  port(port: number, protocol: Protocol): string | undefined;
}

/** Reads the names that a command line may hold. */
export interface Resolver {
  /** The first IPv4 address of a host, as gethostbyname gives it. */
  hostAddress(name: string): Promise<Address | undefined>;
  portNumber(name: string, protocol: Protocol): number | undefined;
}

/** No names at all: `-n`. */
export const numericNames: Names = { host: () => undefined, port: () => undefined };

/**
 * "10.0.0.1:80", "[fd00::1]:80", "web.example:http": IPv6 keeps its brackets around a name too.
 * @param protocol undefined where ports have no names
 */
export function formatSocketAddress(at: SocketAddress, protocol: Protocol | undefined, names: Names): string {
  const host = names.host(at.address) ?? at.address;
  const port = (protocol && names.port(at.port, protocol)) ?? String(at.port);
  return addressFamily(at.address) === 6 ? `[${host}]:${port}` : `${host}:${port}`;
}

/** The content of /etc/services: where a port or a name occurs twice, the first line counts, as with getservbyport. */
export class ServiceTable {
  readonly #names = new Map<string, string>();
  readonly #ports = new Map<string, number>();

  constructor(text: string) {
    for (const line of text.split('\n')) {
      const [name, at, ...aliases] = (line.split('#', 1)[0] ?? '').trim().split(/\s+/);
      const [port, protocol] = at?.split('/') ?? [];
      if (!name || !port || !protocol) continue;
      if (!this.#names.has(`${port}/${protocol}`)) this.#names.set(`${port}/${protocol}`, name);
      for (const each of [name, ...aliases]) {
        if (!this.#ports.has(`${each}/${protocol}`)) this.#ports.set(`${each}/${protocol}`, Number(port));
      }
    }
  }

  name(port: number, protocol: Protocol): string | undefined {
    return this.#names.get(`${port}/${protocol}`);
  }

  port(name: string, protocol: Protocol): number | undefined {
    return this.#ports.get(`${name}/${protocol}`);
  }
}

/** Looks all `addresses` up where the machine looks host names up (getnameinfo); ports in /etc/services. */
export async function lookUpNames(addresses: Iterable<Address>): Promise<Names> {
  const hosts = new Map<Address, string>();
  const lookUp = async (address: Address) => {
    try {
      hosts.set(address, (await lookupService(address, 0)).hostname);
    } catch {
      // Without a name the address itself is listed.
    }
  };
  await Promise.all([...new Set(addresses)].map(lookUp));
  const services = readServices();
  return {
    host: (address) => hosts.get(address),
    port: (port, protocol) => services.name(port, protocol),
  };
}

/** Host names by getaddrinfo, port names by /etc/services. */
export function systemResolver(): Resolver {
  return {
    async hostAddress(name) {
      try {
        return (await lookup(name, { family: 4 })).address;
      } catch {
        return undefined;
      }
    },
    portNumber: (name, protocol) => readServices().port(name, protocol),
  };
}

function readServices(): ServiceTable {
  try {
    return new ServiceTable(readFileSync('/etc/services', 'utf8'));
  } catch {
    return new ServiceTable('');
  }
}
