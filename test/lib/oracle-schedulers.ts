// SPDX-License-Identifier: Apache-2.0
// Replays recorded scheduling decisions against the loaded BPF programs.
import { formatConnections } from '../../src/cli/format-connections.ts';
import { numericNames } from '../../src/cli/names.ts';
import { formatAddressPort, parseAddressPort } from '../../src/model/address.ts';
import { Director, type Mark } from './director.ts';
import { expectSame, Needs, type Outcome, replay } from './oracle.ts';
import type { PacketDescription } from './packet.ts';

export type Counters = readonly (readonly [number, number] | null)[];
type Decision = number | null;
type Flow =
  | readonly [string, number, number | null]
  | readonly [string, number, string, number, number | null];

export interface Step {
  readonly do: string;
  readonly args?: string;
  readonly rc?: number;
  readonly dst?: string;
  readonly flows?: readonly Flow[];
  readonly op?: string;
  readonly src?: string;
  readonly sport?: number;
  readonly dest?: number | null;
  readonly forwarded?: readonly (boolean | number | null)[];
  readonly state?: string | null;
  readonly seconds?: number;
  readonly shown?: readonly { readonly cmd?: string; readonly stdout?: string }[];
  readonly counters?: Counters | Readonly<Record<string, Counters>>;
}

export interface Scenario {
  readonly name: string;
  readonly scheduler: string;
  readonly sysctl?: Readonly<Record<string, number>>;
  readonly marks?: readonly Mark[];
  readonly dests: readonly string[];
  readonly steps: readonly Step[];
}

/** The segments of each action: c from the client, s from the real server. */
const actions: Readonly<Record<string, readonly string[]>> = {
  open: ['c S', 's SA', 'c A'],
  syn: ['c S'],
  close_c: ['c FA', 's A', 's FA', 'c A'],
  close_s: ['s FA', 'c A', 'c FA', 's A'],
  fin_c: ['c FA'],
  fin_s: ['s FA'],
  rst_c: ['c R'],
  rst_s: ['s RA'],
  data_c: ['c PA'],
  data_s: ['s PA'],
};

export async function replayScheduling(recording: {
  readonly scenarios: readonly Scenario[];
}): Promise<readonly Outcome[]> {
  const outcomes: Outcome[] = [];
  for (const scenario of recording.scenarios) {
    const outcome = await replay(scenario.name, () => replayScenario(scenario));
    const isDrawn = scenario.scheduler === 'twos' && outcome.result === 'passed';
    outcomes.push(isDrawn ? { ...outcome, reason: 'the order of twos, which draws' } : outcome);
  }
  return outcomes;
}

async function replayScenario(scenario: Scenario): Promise<void> {
  const director = new Director(scenario.sysctl, scenario.marks);
  const replayer = new Replayer(scenario, director);
  for (const [number, step] of scenario.steps.entries()) await replayer.take(step, number);
}

/** The recorded kernel saw to the caches of lblc and lblcr so often, where 60 s are meant. */
const lateHousekeepingSeconds = 61.44;

class Replayer {
  readonly #scenario: Scenario;
  /** Of time, against the recorded one's. */
  readonly #pace: number;
  readonly #director: Director;
  /** Where each TCP connection went. */
  readonly #forwardedTo = new Map<string, string>();

  constructor(scenario: Scenario, director: Director) {
    this.#scenario = scenario;
    const isOfCaches = Object.keys(scenario.sysctl ?? {}).some((name) => name.endsWith('_expiration'));
    this.#pace = isOfCaches ? 60 / lateHousekeepingSeconds : 1;
    this.#director = director;
  }

  async take(step: Step, number: number): Promise<void> {
    const what = `step ${number} (${step.do} ${step.args ?? step.op ?? step.seconds ?? ''})`;
    switch (step.do) {
      case 'ipvsadm':
        if (step.rc) throw new Needs('refusals by the kernel');
        await this.#director.ipvsadm(step.args ?? '');
        break;
      case 'udp':
      case 'syn':
      case 'sctp':
        this.#sendFlows(step, what);
        break;
      case 'tcp':
        this.#act(step, what);
        break;
      case 'sleep':
        this.#director.goTo(this.#director.at + (step.seconds ?? 0) * this.#pace);
        break;
      case 'show':
        for (const { cmd, stdout = '' } of step.shown ?? []) {
          if (cmd === 'ipvsadm -Lnc') expectSame(what, this.#listing(), withoutExpiry(stdout));
        }
        break;
      default:
    }
    if (step.counters) this.#compareCounters(step.counters, what);
  }

  #listing(): readonly string[] {
    return withoutExpiry(formatConnections(this.#director.connections(), numericNames));
  }

  #sendFlows(step: Step, what: string): void {
    const decisions: (number | null)[] = [];
    const expected: (number | null)[] = [];
    for (const flow of step.flows ?? []) {
      const [source, sourcePort] = flow;
      const { address, port } = parseAddressPort(step.dst ?? '') ?? {
        address: String(flow[2]),
        port: Number(flow[3]),
      };
      const to = this.#director.fromClient({
        source,
        sourcePort,
        destination: address,
        destinationPort: port,
        protocol: step.do === 'udp' || step.do === 'sctp' ? step.do : 'tcp',
        flags: step.do === 'sctp' ? 'INIT' : 'S',
      });
      decisions.push(to === null ? null : this.#decision(to, port));
      expected.push((flow.length === 5 ? flow[4] : flow[2]) ?? null);
    }
    this.#compareDecisions(what, decisions, expected);
  }

  /** twos draws: of it only who may be chosen, and whether anyone is, can be compared. */
  #compareDecisions(what: string, decisions: readonly Decision[], expected: readonly Decision[]): void {
    if (this.#scenario.scheduler !== 'twos') {
      expectSame(what, decisions, expected);
      return;
    }
    const isNone = (decision: Decision) => decision === null;
    expectSame(`${what} refusals`, decisions.map(isNone), expected.map(isNone));
    const quiesced = this.#director.quiesced();
    const chosen = new Set(decisions.map((decision) => this.#scenario.dests[decision ?? -1] ?? ''));
    expectSame(
      `${what} real servers of weight 0 that were chosen`,
      quiesced.filter((dest) => chosen.has(dest)),
      [],
    );
  }

  /** The index of a destination; one of port 0 gets packets at the port that they came to. */
  #decision(to: string, port: number): number {
    const { dests } = this.#scenario;
    const index = dests.indexOf(to);
    const suffix = `:${port}`;
    return index < 0 && to.endsWith(suffix) ? dests.indexOf(`${to.slice(0, -suffix.length)}:0`) : index;
  }

  #act(step: Step, what: string): void {
    const { address, port } = parseAddressPort(step.dst ?? '') ?? { address: '', port: 0 };
    const client = { address: step.src ?? '', port: step.sport ?? 0 };
    const id = `${formatAddressPort(client.address, client.port)} ${step.dst}`;
    const passed: (boolean | number | null)[] = [];
    let first: string | null | undefined;
    for (const segment of actions[step.op ?? ''] ?? []) {
      const [side, flags = ''] = segment.split(' ');
      if (side === 'c') {
        const to = this.#director.fromClient({
          source: client.address,
          sourcePort: client.port,
          destination: address,
          destinationPort: port,
          protocol: 'tcp',
          flags,
        });
        if (first === undefined) first = to;
        if (to !== null) this.#forwardedTo.set(id, to);
        passed.push(to !== null);
      } else passed.push(first === null ? null : this.#reply(id, client, flags, step.dst ?? ''));
    }
    const hasClientSegment = first !== undefined;
    if (hasClientSegment && step.dest !== undefined) {
      const decision = typeof first === 'string' ? this.#decision(first, port) : null;
      this.#compareDecisions(what, [decision], [step.dest]);
    }
    const wanted =
      step.forwarded ?? passed.map((_, i) => (actions[step.op ?? '']?.[i]?.startsWith('c') ? true : 1));
    expectSame(`${what} forwarded`, passed, wanted);
    this.#compareState(step, client, what);
  }

  /** @returns 1 when it came from the virtual address, 0 when untranslated, null when it was not sent */
  #reply(
    id: string,
    client: { address: string; port: number },
    flags: string,
    virtual: string,
  ): number | null {
    const server = parseAddressPort(this.#forwardedTo.get(id) ?? '');
    if (!server) return null;
    const packet: PacketDescription = {
      source: server.address,
      sourcePort: server.port,
      destination: client.address,
      destinationPort: client.port,
      protocol: 'tcp',
      flags,
    };
    return this.#director.fromServer(packet) === virtual ? 1 : 0;
  }

  #compareState(step: Step, client: { address: string; port: number }, what: string): void {
    if (step.state === undefined) return;
    const found = this.#director
      .connections()
      .find(
        (connection) =>
          connection.client.address === client.address &&
          connection.client.port === client.port &&
          formatAddressPort(connection.virtual.address, connection.virtual.port) === step.dst,
      );
    expectSame(`${what} state`, found?.state ?? null, step.state);
  }

  #compareCounters(expected: NonNullable<Step['counters']>, what: string): void {
    const counters = this.#director.counters();
    if (isList(expected)) {
      const [only] = counters.values();
      this.#compareRows(`${what} counters`, this.#row(only, expected.length), expected);
      return;
    }
    for (const [service, row] of Object.entries(expected)) {
      this.#compareRows(`${what} counters of ${service}`, this.#row(counters.get(service), row.length), row);
    }
  }

  #compareRows(what: string, row: Counters, expected: Counters): void {
    if (this.#scenario.scheduler === 'twos') expectSame(`sums of ${what}`, sums(row), sums(expected));
    else expectSame(what, row, expected);
  }

  #row(servers: ReadonlyMap<string, readonly [number, number]> | undefined, length: number): Counters {
    return this.#scenario.dests.slice(0, length).map((dest) => servers?.get(dest) ?? null);
  }
}

/** The lines of `ipvsadm -Lnc` in an order; the recorded steps took time that a replay does not. */
function withoutExpiry(listing: string): readonly string[] {
  return listing
    .split('\n')
    .map((line) => line.replace(/\d+:\d\d/, ''))
    .sort();
}

/** Of active and of inactive connections; where a destination is not in service, which are: its connections may go on. */
function sums(row: Counters): readonly (number | boolean)[] {
  const there = row.filter((counts) => counts !== null);
  if (there.length < row.length) return row.map((counts) => counts !== null);
  return ([0, 1] as const).map((i) => there.reduce((total, counts) => total + counts[i], 0));
}

function isList(counters: NonNullable<Step['counters']>): counters is Counters {
  return Array.isArray(counters);
}
