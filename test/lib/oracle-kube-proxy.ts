// SPDX-License-Identifier: Apache-2.0
// Replays what kube-proxy's IPVS mode was recorded to program, against `plan`.
import { readFileSync } from 'node:fs';
import { formatSave } from '../../src/cli/format-save.ts';
import { ingest } from '../../src/kube/ingest.ts';
import { addressFamily, parseAddress } from '../../src/model/address.ts';
import { type Cidr, parseCidr } from '../../src/model/cidr.ts';
import type { ClusterObjects } from '../../src/model/cluster.ts';
import { isSchedulerName } from '../../src/model/scheduler.ts';
import type { NodeView, PlanConfig } from '../../src/plan/desired-state.ts';
import { plan } from '../../src/plan/plan.ts';

export interface Outcome {
  /** The case's name: "cluster-ip/tcp". */
  readonly name: string;
  readonly result: 'passed' | 'failed' | 'skipped';
  /** Of a skip: what the case needs; of a failure: the step and the lines that differ. */
  readonly reason?: string;
}

interface RecordedNode {
  readonly name: string;
  readonly nodeIPs: readonly string[];
  /** With prefix lengths. */
  readonly addresses: readonly string[];
}

interface RecordedObject {
  readonly kind: string;
  readonly metadata: {
    readonly namespace: string;
    readonly name: string;
    readonly labels?: Record<string, string>;
  };
  readonly spec?: {
    readonly sessionAffinity?: string;
    readonly internalTrafficPolicy?: string;
    readonly externalTrafficPolicy?: string;
  };
  readonly endpoints?: readonly { readonly hints?: object }[];
}

interface Expectation {
  readonly ipvsadm: readonly string[];
}

interface RecordedStep {
  readonly node?: RecordedNode;
  readonly objects: readonly RecordedObject[];
  readonly expect: Expectation;
  readonly otherExpect?: readonly Expectation[];
  readonly deviates?: readonly string[];
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
  readonly refusedByAPI?: boolean;
  readonly steps: readonly RecordedStep[];
}

export function readCases(file: string): readonly RecordedCase[] {
  return JSON.parse(readFileSync(file, 'utf8'));
}

/**
 * One outcome a case. In each step every listed line has to match, except those at front ends of services that need a rule
 * which `plan` does not have yet, and at those where the recorded listing is known to be nothing to copy: a case with
 * such front ends is skipped, and still fails if any other line differs.
 */
export function replayKubeProxy(file: string): readonly Outcome[] {
  return readCases(file).map(replayCase);
}

function replayCase(recorded: RecordedCase): Outcome {
  const { name } = recorded;
  if (recorded.refusedByAPI) return { name, result: 'skipped', reason: 'objects that the API refuses' };
  let node = recorded.node;
  let reason: string | undefined;
  for (const [index, step] of recorded.steps.entries()) {
    node = step.node ?? node;
    const outcome = replayStep(recorded, step, node);
    if (outcome.difference !== '') {
      return { name, result: 'failed', reason: `step ${index + 1}: ${outcome.difference}` };
    }
    reason ??= outcome.needs;
  }
  return reason === undefined ? { name, result: 'passed' } : { name, result: 'skipped', reason };
}

function replayStep(
  recorded: RecordedCase,
  step: RecordedStep,
  node: RecordedNode,
): { difference: string; needs: string | undefined } {
  const objects = ingest(step.objects, 'objects');
  if (objects.problems[0] !== undefined) return { difference: objects.problems[0], needs: undefined };
  const view = { name: node.name, addresses: node.addresses.map(withoutLength) };
  const config = planConfig(recorded, node);
  const list = (services: ClusterObjects['services']) =>
    formatSave(plan({ ...objects, services }, view, config).services);

  const needs = neededRules(step.objects);
  const isWanting = ({ namespace, name }: { namespace: string; name: string }) =>
    needs.has(`${namespace}/${name}`);
  const left = new Set([
    ...list(objects.services.filter(isWanting)).map(frontEnd),
    ...Object.values(step.deviatesAt ?? {}).flat(),
  ]);
  const compared = (lines: readonly string[]) => lines.filter((line) => !left.has(frontEnd(line)));
  const actual = compared(list(objects.services));
  const differences = [step.expect, ...(step.otherExpect ?? [])].map((each) =>
    difference(compared(each.ipvsadm), actual),
  );
  return {
    difference: differences.includes('') ? '' : (differences[0] ?? ''),
    needs: step.deviates?.[0] ?? [...needs.values()][0],
  };
}

/** The rules that are yet to come, by the service ("namespace/name") that needs one. */
function neededRules(objects: readonly RecordedObject[]): ReadonlyMap<string, string> {
  const needs = new Map<string, string>();
  for (const { kind, metadata, spec, endpoints } of objects) {
    const need = (name: string, rule: string) => needs.set(`${metadata.namespace}/${name}`, rule);
    if (kind === 'Service' && spec?.sessionAffinity === 'ClientIP') need(metadata.name, 'session affinity');
    if (kind === 'Service' && [spec?.internalTrafficPolicy, spec?.externalTrafficPolicy].includes('Local')) {
      need(metadata.name, 'traffic policy Local');
    }
    if (endpoints?.some((each) => each.hints)) {
      need(metadata.labels?.['kubernetes.io/service-name'] ?? '', 'topology hints');
    }
  }
  return needs;
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

/** "-t 10.96.0.1:80" from a line about it. */
function frontEnd(line: string): string {
  return line.split(' ').slice(1, 3).join(' ');
}

function difference(expected: readonly string[], actual: readonly string[]): string {
  const at = expected.findIndex((line, i) => line !== actual[i]);
  if (at === -1 && expected.length === actual.length) return '';
  const index = at === -1 ? expected.length : at;
  return `expected "${expected[index] ?? 'no more'}" but received "${actual[index] ?? 'no more'}"`;
}
