// SPDX-License-Identifier: Apache-2.0
// What kube-proxy's ipsets and health check ports say, compared with what `plan` says of the same.
import { addressFamily } from '../../src/model/address.ts';
import { canonicalCidr, formatCidr, parseCidr } from '../../src/model/cidr.ts';
import type { VirtualService } from '../../src/model/virtual-service.ts';
import type { HealthCheck, NodeView, PlanConfig } from '../../src/plan/desired-state.ts';
import { healthCheckAddresses } from '../../src/plan/node-port-addresses.ts';
import { expectSame } from './oracle.ts';

export interface RecordedHealthCheck {
  readonly service: string;
  readonly port: number;
  readonly listen: readonly string[];
  readonly localReadyEndpoints: number;
  readonly status: number;
}

type Sets = Readonly<Record<string, readonly string[]>>;

/** Sets of both families; IPv6's names are cut to 31 characters. */
function members(sets: Sets, name: string): readonly string[] {
  return [...(sets[`KUBE-${name}`] ?? []), ...(sets[`KUBE-6-${name}`.slice(0, 31)] ?? [])];
}

/**
 * Who may use a load-balancer IP, and at which addresses clients outside have a view of their own.
 * @param deviatesAt by topic "-t 10.96.0.1:80"
 */
export function expectAllowances(
  { ipsets }: { readonly ipsets: Sets },
  deviatesAt: Readonly<Record<string, readonly string[]>>,
  actual: readonly VirtualService[],
): void {
  const restricted = actual.filter(({ sourceRanges }) => sourceRanges);
  expectSame(
    'front ends with source ranges',
    restricted.map(setMember).sort(),
    [...members(ipsets, 'LOAD-BALANCER-FW')].sort(),
  );
  expectSame(
    'source ranges',
    restricted
      .flatMap((service) =>
        (service.sourceRanges ?? []).map((range) => `${setMember(service)},${formatCidr(range)}`),
      )
      .sort(),
    [
      ...new Set(
        members(ipsets, 'LOAD-BALANCER-SOURCE-CIDR')
          .map(canonical)
          .concat(members(ipsets, 'LOAD-BALANCER-SOURCE-IP').map(canonical)),
      ),
    ].sort(),
  );
  const conflicts = deviatesAt['front-end-conflict'] ?? [];
  if (conflicts.length > 0) return;
  const local = new Set([...members(ipsets, 'LOAD-BALANCER-LOCAL'), ...members(ipsets, 'EXTERNAL-IP-LOCAL')]);
  const others = new Set(
    ['CLUSTER-IP', 'LOAD-BALANCER', 'EXTERNAL-IP'].flatMap((name) => members(ipsets, name)),
  );
  const known = actual.filter((service) => local.has(setMember(service)) || others.has(setMember(service)));
  expectSame(
    'front ends with a view of clients outside',
    known
      .filter(({ outside }) => outside)
      .map(setMember)
      .sort(),
    known
      .map(setMember)
      .filter((member) => local.has(member))
      .sort(),
  );
}

export function expectHealthChecks(
  recorded: readonly RecordedHealthCheck[],
  planned: readonly HealthCheck[],
  { addresses }: NodeView,
  { nodePortAddresses }: PlanConfig,
): void {
  const actual = planned.flatMap(({ service, family, port, localReadyEndpoints }): RecordedHealthCheck[] => {
    const listen = healthCheckAddresses(addresses, family, nodePortAddresses);
    if (listen.length === 0) return [];
    return [{ service, port, listen, localReadyEndpoints, status: localReadyEndpoints > 0 ? 200 : 503 }];
  });
  const sorted = (checks: readonly RecordedHealthCheck[]) =>
    checks
      .map(({ service, port, listen, localReadyEndpoints, status }) =>
        JSON.stringify({ service, port, listen: [...listen].sort(), localReadyEndpoints, status }),
      )
      .sort();
  expectSame('health checks', sorted(actual), sorted(recorded));
}

/** "203.0.113.21,tcp:80" */
function setMember({ address, protocol, port }: VirtualService): string {
  return `${address},${protocol}:${port}`;
}

/** "203.0.113.21,tcp:80,192.0.2.0/24" with the network, or the single address, in its one spelling. */
function canonical(member: string): string {
  const [address = '', port = '', source = ''] = member.split(',');
  const text = source.includes('/') ? source : `${source}/${addressFamily(source) === 4 ? 32 : 128}`;
  const cidr = parseCidr(text);
  return `${address},${port},${cidr ? formatCidr(canonicalCidr(cidr)) : source}`;
}
