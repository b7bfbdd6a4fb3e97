// SPDX-License-Identifier: Apache-2.0
// The lab's addresses, routes and kernel settings, as text for `ip -batch` and `sh`.
import {
  clientOne,
  clusterRange,
  type DualAddress,
  type DualPrefix,
  externalRange,
  nodeOne,
  nodeTwo,
  podRangeOne,
  podRangeTwo,
  segment,
} from './cast.ts';

interface Route {
  readonly to: DualPrefix;
  readonly via: DualAddress;
}

const everything: DualPrefix = { v4: '0.0.0.0/0', v6: '::/0' };

const machines: Readonly<
  Record<string, { readonly addresses: DualAddress; readonly routes: readonly Route[] }>
> = {
  client: {
    addresses: clientOne,
    routes: [
      { to: everything, via: nodeOne },
      { to: clusterRange, via: nodeOne },
      { to: externalRange, via: nodeOne },
      { to: podRangeOne, via: nodeOne },
      { to: podRangeTwo, via: nodeTwo },
    ],
  },
  // The client is the nodes' outside world: what has no other route ends there silently, as it does not forward.
  node1: {
    addresses: nodeOne,
    routes: [
      { to: everything, via: clientOne },
      { to: podRangeTwo, via: nodeTwo },
    ],
  },
  node2: {
    addresses: nodeTwo,
    routes: [
      { to: everything, via: clientOne },
      { to: podRangeOne, via: nodeOne },
    ],
  },
};

/** Makes the segment: a bridge in a namespace of its own, with a veth pair to eth0 of each machine. */
export function segmentCommands(lab: string, names: readonly string[]): string {
  const ports = names.flatMap((name) => [
    `link add ${name} type veth peer name eth0 netns ${lab}-${name}`,
    `link set ${name} master segment up`,
  ]);
  return ['link add segment type bridge mcast_snooping 0', 'link set segment up', ...ports].join('\n');
}

/** Gives a machine on the segment its addresses and routes. */
export function machineCommands(name: string): string {
  const machine = machines[name];
  if (!machine) throw new Error(`Expected one of ${Object.keys(machines).join(', ')} but received "${name}"`);
  const { addresses, routes } = machine;
  return [
    `address add ${addresses.v4}/${prefixLength(segment.v4)} dev eth0`,
    `address add ${addresses.v6}/${prefixLength(segment.v6)} dev eth0 nodad`,
    'link set eth0 up',
    ...routes.flatMap(({ to, via }) => [
      `route add ${to.v4} via ${via.v4}`,
      `route add ${to.v6} via ${via.v6}`,
    ]),
  ].join('\n');
}

function prefixLength(prefix: string): string {
  return prefix.slice(prefix.indexOf('/') + 1);
}

/**
 * A shell script of what is set in a namespace before it has devices: lo up, IPv6 addresses usable at once (no
 * duplicate address detection), nodes forward, nobody learns routes from redirects. rp_filter keeps the kernel's default.
 */
export function kernelSettings(name: string): string {
  const isNode = name.startsWith('node') ? 1 : 0;
  const settings = {
    'ipv4/ip_forward': isNode,
    'ipv6/conf/all/forwarding': isNode,
    'ipv6/conf/all/accept_dad': 0,
    'ipv6/conf/default/accept_dad': 0,
    'ipv4/conf/all/accept_redirects': 0,
    'ipv4/conf/default/accept_redirects': 0,
    'ipv6/conf/default/accept_redirects': 0,
  };
  const writes = Object.entries(settings).map(([path, value]) => `echo ${value} > /proc/sys/net/${path}`);
  return ['set -e', 'ip link set lo up', ...writes].join('\n');
}
