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

/** How the nodes reach each other's pods: by routes through the segment, or through a VXLAN tunnel over it. */
export type Joint = 'routes' | 'vxlan';

/** The nodes' device of a {@link Joint} that is a tunnel. */
export const tunnelDevice = 'vxlan0';

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

/** The nodes' addresses in the tunnel, which packets that a node sends through it have as their source. */
export const tunnelEnds: Readonly<Record<'node1' | 'node2', DualAddress>> = {
  node1: { v4: '10.244.255.1', v6: 'fd00:10:244:ff::1' },
  node2: { v4: '10.244.255.2', v6: 'fd00:10:244:ff::2' },
};

/** Lets the routes to the other node's pods lead through a tunnel of the MTU that is left over a segment of 1500. */
export function tunnelCommands(name: 'node1' | 'node2'): string {
  const [own, gateway] =
    name === 'node1' ? [tunnelEnds.node1, tunnelEnds.node2] : [tunnelEnds.node2, tunnelEnds.node1];
  const [remote, pods] = name === 'node1' ? [nodeTwo, podRangeTwo] : [nodeOne, podRangeOne];
  return [
    `link add ${tunnelDevice} mtu 1450 type vxlan id 42 dev eth0 remote ${remote.v4} dstport 4789`,
    `address add ${own.v4}/24 dev ${tunnelDevice}`,
    `address add ${own.v6}/64 dev ${tunnelDevice} nodad`,
    `link set ${tunnelDevice} up`,
    `route replace ${pods.v4} via ${gateway.v4}`,
    `route replace ${pods.v6} via ${gateway.v6}`,
  ].join('\n');
}

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
