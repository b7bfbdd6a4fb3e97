// SPDX-License-Identifier: Apache-2.0
// loadBalancerSourceRanges: who may use a load-balancer IP.
import { type Address, addressFamily } from '../model/address.ts';
import { type Cidr, cidrContains } from '../model/cidr.ts';
import type { ServiceObject } from '../model/cluster.ts';

/**
 * The networks of clients that may use `address`, each once; undefined where all may: it is no load-balancer IP, or no
 * range of its family is given, or one of length zero. Where a range has an address of the node, its processes may
 * connect with the virtual address itself as their source, which a process without an address of its own has.
 * @param nodeIps the Node object's, the first of each family
 */
export function sourceRanges(
  service: ServiceObject,
  address: Address,
  nodeIps: readonly Address[],
): readonly Cidr[] | undefined {
  if (!service.loadBalancer.some((each) => each.ipMode === 'VIP' && each.address === address))
    return undefined;
  const family = addressFamily(address);
  const ranges = service.sourceRanges.filter((range) => range.family === family);
  if (ranges.length === 0 || ranges.some((range) => range.length === 0)) return undefined;
  const self: Cidr = { family, address, length: family === 4 ? 32 : 128 };
  const isOfNode = ranges.some((range) => nodeIps.some((ip) => cidrContains(range, ip)));
  const all = isOfNode ? [...ranges, self] : ranges;
  return all.filter(
    (one, i) => all.findIndex((two) => two.address === one.address && two.length === one.length) === i,
  );
}
