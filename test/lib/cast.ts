// SPDX-License-Identifier: Apache-2.0
// The named cast: the addresses that tests and the lab share, so that a dump reads like a story.
import type { Address } from '../../src/model/address.ts';

/** One party in both families. */
export interface DualAddress {
  readonly v4: Address;
  readonly v6: Address;
}

/** One virtual address with the port it serves on, in host order. */
export interface ServiceAddress extends DualAddress {
  readonly port: number;
}

/** A route's prefix in both families. */
export interface DualPrefix {
  readonly v4: string;
  readonly v6: string;
}

/** The segment that joins outside clients and nodes. */
export const segment: DualPrefix = { v4: '192.0.2.0/24', v6: 'fd00:192:0:2::/64' };
export const clientOne: DualAddress = { v4: '192.0.2.100', v6: 'fd00:192:0:2::100' };
export const clientTwo: DualAddress = { v4: '192.0.2.101', v6: 'fd00:192:0:2::101' };
export const nodeOne: DualAddress = { v4: '192.0.2.11', v6: 'fd00:192:0:2::11' };
export const nodeTwo: DualAddress = { v4: '192.0.2.12', v6: 'fd00:192:0:2::12' };

/** Beyond clientOne: a range, a machine in it, and clientOne's own address there. */
export const farRange: DualPrefix = { v4: '203.0.113.0/24', v6: 'fd00:203:0:113::/64' };
export const far: DualAddress = { v4: '203.0.113.100', v6: 'fd00:203:0:113::100' };
export const farRouter: DualAddress = { v4: '203.0.113.1', v6: 'fd00:203:0:113::1' };

/** The pod ranges; host-local gives the gateway `.1` and pods `.2` onward, in the order of their making. */
export const podRangeOne: DualPrefix = { v4: '10.244.1.0/24', v6: 'fd00:10:244:1::/64' };
export const podRangeTwo: DualPrefix = { v4: '10.244.2.0/24', v6: 'fd00:10:244:2::/64' };
/** Pods one to three live on node one (`n1-pod1` … in the lab), four to six on node two (`n2-pod1` …). */
export const podOne: DualAddress = { v4: '10.244.1.2', v6: 'fd00:10:244:1::2' };
export const podTwo: DualAddress = { v4: '10.244.1.3', v6: 'fd00:10:244:1::3' };
export const podThree: DualAddress = { v4: '10.244.1.4', v6: 'fd00:10:244:1::4' };
export const podFour: DualAddress = { v4: '10.244.2.2', v6: 'fd00:10:244:2::2' };
export const podFive: DualAddress = { v4: '10.244.2.3', v6: 'fd00:10:244:2::3' };
export const podSix: DualAddress = { v4: '10.244.2.4', v6: 'fd00:10:244:2::4' };

/** Where cluster IPs come from. */
export const clusterRange: DualPrefix = { v4: '10.96.0.0/16', v6: 'fd00:10:96::/112' };
export const serviceWeb: ServiceAddress = { v4: '10.96.0.80', v6: 'fd00:10:96::80', port: 80 };
export const serviceDns: ServiceAddress = { v4: '10.96.0.10', v6: 'fd00:10:96::10', port: 53 };
/** A service that has no destination. */
export const serviceEmpty: ServiceAddress = { v4: '10.96.0.99', v6: 'fd00:10:96::99', port: 99 };

/** Where external and load-balancer IPs come from; routed to node one, used only inside the lab. */
export const externalRange: DualPrefix = { v4: '198.51.100.0/24', v6: 'fd00:198:51:100::/64' };
export const externalWeb: ServiceAddress = { v4: '198.51.100.80', v6: 'fd00:198:51:100::80', port: 80 };
export const loadBalancerWeb: ServiceAddress = { v4: '198.51.100.90', v6: 'fd00:198:51:100::90', port: 80 };
