// SPDX-License-Identifier: Apache-2.0
// The list of connections, as `ipvsadm -L -c` prints it.
import type { Connection, SocketAddress } from '../model/connection.ts';
import { formatSocketAddress, type Names } from './names.ts';

const title = 'pro expire state       source             virtual            destination';

/**
 * Two heading lines and a line for each connection, in the given order, each ended by a newline.
 * @param hasEngineColumns adds the headings of the persistence engine's columns (`--persistent-conn`); connections that no
 * engine made have nothing in them.
 */
export function formatConnections(
  connections: Iterable<Connection>,
  names: Names,
  hasEngineColumns = false,
): string {
  const lines = [
    'IPVS connection entries',
    hasEngineColumns ? `${title}        pe name          pe_data` : title,
  ];
  for (const connection of connections) {
    const protocol = connection.protocol === 'ip' ? undefined : connection.protocol;
    const end = (at: SocketAddress) => formatSocketAddress(at, protocol, names);
    const cells = [
      connection.protocol.toUpperCase().padEnd(3),
      formatExpiry(connection.expiresInMs).padEnd(6),
      connection.state.padEnd(11),
      end(connection.client).padEnd(18),
      end(connection.virtual).padEnd(18),
      end(connection.destination),
    ];
    lines.push(cells.join(' '));
  }
  return `${lines.join('\n')}\n`;
}

/** "MM:SS", whole seconds left; minutes may have more digits. */
function formatExpiry(milliseconds: number): string {
  const seconds = Math.floor(milliseconds / 1000);
  const two = (value: number) => String(value).padStart(2, '0');
  return `${two(Math.floor(seconds / 60))}:${two(seconds % 60)}`;
}
