// SPDX-License-Identifier: Apache-2.0
// Replays what kube-proxy's IPVS mode was recorded to program, against `plan` and the reconciler over a data plane in memory.
import { readFileSync } from 'node:fs';
import { formatSave } from '../../src/cli/format-save.ts';
import { MemoryDataPlane } from '../../src/dataplane/memory/memory-data-plane.ts';
import { ingest } from '../../src/kube/ingest.ts';
import { addressFamily, parseAddress, parseAddressPort } from '../../src/model/address.ts';
import { type Cidr, parseCidr } from '../../src/model/cidr.ts';
import type { Operation } from '../../src/model/operation.ts';
import { isSchedulerName } from '../../src/model/scheduler.ts';
import {
  destinationId,
  destinationsFor,
  type Protocol,
  type VirtualService,
} from '../../src/model/virtual-service.ts';
import type { DesiredState, NodeView, PlanConfig } from '../../src/plan/desired-state.ts';
import { plan } from '../../src/plan/plan.ts';
import { Reconciler } from '../../src/reconcile/reconciler.ts';
import { Differs, expectSame, type Outcome } from './oracle.ts';
import { expectAllowances, expectHealthChecks, type RecordedHealthCheck } from './oracle-kube-proxy-sets.ts';

interface RecordedNode {
  readonly name: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly nodeIPs: readonly string[];
  /** With prefix lengths. */
  readonly addresses: readonly string[];
}

export interface Expectation {
  readonly ipvsadm: readonly string[];
  readonly ipsets: Readonly<Record<string, readonly string[]>>;
  readonly healthChecks: readonly RecordedHealthCheck[];
}

interface RecordedStep {
  readonly node?: RecordedNode;
  readonly objects: readonly unknown[];
  /** Active and inactive connections of destinations, by "10.244.1.2:8080". */
  readonly connections?: Readonly<Record<string, readonly [number, number]>>;
  readonly expect: Expectation;
  readonly otherExpect?: readonly Expectation[];
  /** By topic: "-t 10.96.0.1:80". */
  readonly deviatesAt?: Readonly<Record<string, readonly string[]>>;
}

export interface RecordedCase {
  readonly name: string;
  readonly config: {
    readonly ipFamilies: readonly string[];
    readonly scheduler: string;
    readonly nodePortAddresses: readonly string[];
  };
  readonly node: RecordedNode;
  /** What an earlier process left. */
  readonly before?: { readonly ipvsadm: readonly string[] };
  readonly refusedByAPI?: boolean;
  readonly steps: readonly RecordedStep[];
}

export function readCases(file: string): readonly RecordedCase[] {
  return JSON.parse(readFileSync(file, 'utf8'));
}

/** One outcome a case: each line of each step is compared, and what it may be instead where the recording deviates. */
export function replayKubeProxy(file: string): readonly Outcome[] {
  return readCases(file).map(replayCase);
}

function replayCase(recorded: RecordedCase): Outcome {
  const { name } = recorded;
  const node = new RecordedKubeProxy(recorded);
  for (const [index, step] of recorded.steps.entries()) {
    try {
      node.take(step);
    } catch (error) {
      if (!(error instanceof Differs)) throw error;
      return { name, result: 'failed', reason: `step ${index + 1}: ${error.message}` };
    }
  }
  return { name, result: 'passed' };
}

/** One agent that lives through all steps of a case. */
class RecordedKubeProxy {
  readonly #recorded: RecordedCase;
  readonly #dataPlane = new MemoryDataPlane();
  readonly #reconciler: Reconciler;
  #node: RecordedNode;

  constructor(recorded: RecordedCase) {
    this.#recorded = recorded;
    this.#node = recorded.node;
    expectSame('failures', this.#dataPlane.apply((recorded.before?.ipvsadm ?? []).map(readLine)), []);
    this.#reconciler = new Reconciler(
      this.#dataPlane,
      { now: () => 0, after: () => () => {} },
      ({ failures }) => expectSame('failures', failures, []),
      { drains: true },
    );
  }

  take(step: RecordedStep): void {
    this.#node = step.node ?? this.#node;
    const objects = ingest(step.objects, 'objects', true);
    if (!this.#recorded.refusedByAPI) expectSame('problems', objects.problems, []);
    const view = nodeView(this.#node);
    const config = planConfig(this.#recorded, this.#node);
    const desired = plan(objects, view, config);
    this.#dataPlane.countConnections = (_service, destination) =>
      connectionsOf(step, destinationId(destination));
    this.#reconciler.want(desired.services);
    const actual = this.#dataPlane.configuration();
    expectListing(step, actual, desired);
    expectAllowances(step.expect, step.deviatesAt ?? {}, actual);
    expectHealthChecks(step.expect.healthChecks, desired.healthChecks, view, config);
  }
}

/**
 * What is listed has to be what is recorded, where the view of clients outside is listed as kube-proxy does: the endpoints
 * of policy Cluster where there is none of this node. At front ends where the recording deviates, what counts instead:
 */
const instead: Readonly<Record<string, Instead>> = {
  // The listing is the same; what it means for whom is compared by expectAllowances.
  'external-local-none-local': (recorded) => recorded,
  'external-local-subset': (recorded) => recorded,
  // Not the endpoints of other nodes: clients are dropped. Those that served before may drain.
  'internal-local-none-local': (recorded, { service, lines }) => {
    expectSame('without a local endpoint', service?.noDestination, 'drop');
    return [...recorded.slice(0, 1), ...lines.filter((line) => line.endsWith(' -w 0'))];
  },
  // Weight 0 only as long as there are connections.
  draining: (recorded, { connections }) =>
    recorded.filter((line) => !line.endsWith(' -w 0') || connections(line.split(' ')[4] ?? '') > 0),
  // A virtual address is none of the node's.
  'node-port-on-vip': () => [],
  // What is not ours is left alone, and nothing of ours stays behind.
  'foreign-virtual-service': () => [],
  // The slice is the new Service's alone.
  'slice-relabelled': (recorded) => recorded.slice(0, 1),
};

type Instead = (recorded: readonly string[], actual: Actual) => readonly string[];

interface Actual {
  readonly lines: readonly string[];
  readonly service: VirtualService | undefined;
  readonly connections: (destination: string) => number;
}

function expectListing(step: RecordedStep, actual: readonly VirtualService[], desired: DesiredState): void {
  const lines = formatSave(actual.map(listed));
  const linesOf = Map.groupBy(lines, frontEndOf);
  const services = new Map(actual.map((service) => [frontEndOf(formatSave([service])[0] ?? ''), service]));
  const connections = (destination: string) => connectionsOf(step, destination);
  const topics = Object.entries(step.deviatesAt ?? {});
  const expected = (expectation: Expectation): readonly string[] =>
    [...Map.groupBy(expectation.ipvsadm, frontEndOf)].flatMap(([frontEnd, recorded]) => {
      const facts = { service: services.get(frontEnd), lines: linesOf.get(frontEnd) ?? [], connections };
      const own = topics.filter(([, frontEnds]) => frontEnds.includes(frontEnd)).map(([topic]) => topic);
      if (own.includes('front-end-conflict')) expectConflict(frontEnd, desired);
      return own.reduce<readonly string[]>((list, topic) => instead[topic]?.(list, facts) ?? list, recorded);
    });
  const differences = [step.expect, ...(step.otherExpect ?? [])].map((each) =>
    difference(expected(each), lines),
  );
  if (!differences.includes('')) throw new Differs(differences[0] ?? '');
}

function connectionsOf({ connections }: RecordedStep, destination: string): number {
  return (connections?.[destination] ?? []).reduce((sum, count) => sum + count, 0);
}

/** What one of several claims is told, who gets nothing; the listing is that of one of them. */
function expectConflict(frontEnd: string, { conflicts }: DesiredState): void {
  const claimed = conflicts.map(({ virtualService }) =>
    frontEndOf(formatSave([{ ...anyDefinition, ...virtualService }])[0] ?? ''),
  );
  expectSame('conflicts', claimed.includes(frontEnd), true);
}

const anyDefinition = {
  scheduler: 'rr',
  schedulerFlags: [],
  noDestination: 'reject',
  destinations: [],
} as const satisfies Partial<VirtualService>;

/** One view, as kube-proxy has: that of clients outside, or of others where that is empty. What drains is in neither. */
function listed(service: VirtualService): VirtualService {
  const draining = service.destinations.filter(({ weight }) => weight === 0);
  const outside = destinationsFor(service, 'outside').filter(({ weight }) => weight > 0);
  const inside = destinationsFor(service, 'inside').filter(({ weight }) => weight > 0);
  return { ...service, destinations: [...(outside.length > 0 ? outside : inside), ...draining] };
}

function nodeView({ name, labels, nodeIPs, addresses }: RecordedNode): NodeView {
  return {
    name,
    addresses: [...addresses.map(withoutLength), '127.0.0.1', '::1'],
    nodeIps: nodeIPs,
    zone: labels?.['topology.kubernetes.io/zone'],
  };
}

function planConfig({ config }: RecordedCase, node: RecordedNode): PlanConfig {
  const scheduler = config.scheduler || 'rr';
  if (!isSchedulerName(scheduler)) throw new Error(`Expected a scheduler but received "${scheduler}"`);
  return {
    families: config.ipFamilies.map((family) => (family === 'IPv4' ? 4 : 6)),
    scheduler,
    nodePortAddresses: config.nodePortAddresses.flatMap((text) => cidrs(text, node)),
  };
}

function cidrs(text: string, node: RecordedNode): readonly Cidr[] {
  const texts =
    text === 'primary' ? node.nodeIPs.map((ip) => `${ip}/${addressFamily(ip) === 4 ? 32 : 128}`) : [text];
  return texts.map((each) => {
    const cidr = parseCidr(each);
    if (!cidr) throw new Error(`Expected a CIDR but received "${each}"`);
    return cidr;
  });
}

function withoutLength(text: string): NodeView['addresses'][number] {
  const address = parseAddress(text.replace(/\/\d+$/, ''));
  if (address === undefined) throw new Error(`Expected an address but received "${text}"`);
  return address;
}

const protocols: Readonly<Record<string, Protocol>> = { '-t': 'tcp', '-u': 'udp', '--sctp-service': 'sctp' };

/** What a line of `ipvsadm -S` adds; of a service only that it is there. */
function readLine(line: string): Operation {
  const [command, option = '', frontEnd = '', , destination = ''] = line.split(' ');
  const [at, to] = [parseAddressPort(frontEnd), parseAddressPort(destination)];
  const protocol = protocols[option];
  if (!at || !protocol) throw new Error(`Expected a line of ipvsadm but received "${line}"`);
  const service = { ...anyDefinition, protocol, ...at };
  return command === '-a' && to
    ? { do: 'add-destination', service, destination: { ...to, weight: 1, forwarding: 'masq' } }
    : { do: 'add-service', service };
}

/** "-t 10.96.0.1:80" from a line about it. */
function frontEndOf(line: string): string {
  return line.split(' ').slice(1, 3).join(' ');
}

function difference(expected: readonly string[], actual: readonly string[]): string {
  const at = expected.findIndex((line, i) => line !== actual[i]);
  if (at === -1 && expected.length === actual.length) return '';
  const index = at === -1 ? expected.length : at;
  return `expected "${expected[index] ?? 'no more'}" but received "${actual[index] ?? 'no more'}"`;
}
