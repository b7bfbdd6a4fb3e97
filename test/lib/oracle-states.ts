// SPDX-License-Identifier: Apache-2.0
// Replays recorded lives of single connections: state, timeout, counters after each packet.
import { formatAddressPort, parseAddressPort } from '../../src/model/address.ts';
import type { Connection } from '../../src/model/connection.ts';
import { Director } from './director.ts';
import { Differs, expectSame, Needs, type Outcome, replay } from './oracle.ts';
import { TemplateTimer } from './oracle-templates.ts';
import type { PacketDescription } from './packet.ts';

interface Entry {
  readonly state: string;
  readonly expires: number;
  readonly dest: string;
  /** A persistence template. */
  readonly template?: true;
}

interface Event {
  readonly event: string;
  readonly at: number;
  readonly entries: readonly Entry[];
  readonly counters: readonly (readonly [number, number])[];
  readonly forwarded_to?: string | null;
  readonly came_to_client_from?: string | null;
  readonly rc?: number;
  readonly changes?: readonly { readonly after: number; readonly entries: readonly Entry[] }[];
}

interface Script {
  readonly group: string;
  readonly name: string;
  readonly protocol: string;
  readonly setup: readonly string[];
  readonly sysctl: Readonly<Record<string, number>>;
  readonly client: string;
  readonly events: readonly Event[];
}

/** What two Linux TCP stacks exchange where the recording only names the calls: c from the client, s from the server. */
const calls: Readonly<Record<string, readonly string[]>> = {
  connect: ['c S', 's SA', 'c A'],
  'connect to a closed port': ['c S', 's RA'],
  'client sends': ['c PA d', 's A'],
  'server sends': ['s PA d', 'c A'],
  'client shuts its half': ['c FA', 's A'],
  'server shuts its half': ['s FA', 'c A'],
  'client closes': ['c FA', 's A'],
  'server closes': ['s FA', 'c A'],
  'client aborts': ['c RA'],
  'server aborts': ['s RA'],
};

/** A packet is sent 20 ms before its consequences are read. */
const readingDelay = 0.02;

/** How late the recorded kernel's timers may be, in seconds, for a timeout of so many. */
function lateness(timeoutSeconds: number): number {
  if (timeoutSeconds <= 10) return 0.3;
  return timeoutSeconds <= 131 ? 2.1 : 16.5;
}

export async function replayStates(recording: {
  readonly scripts: readonly Script[];
}): Promise<readonly Outcome[]> {
  const outcomes: Outcome[] = [];
  for (const script of recording.scripts) {
    outcomes.push(await replay(`${script.group}/${script.name}`, () => replayScript(script)));
  }
  return outcomes;
}

async function replayScript(script: Script): Promise<void> {
  const director = new Director(script.sysctl);
  for (const line of script.setup) await director.ipvsadm(line.replace(/^ipvsadm /, ''));
  const life = new Life(script, director);
  try {
    for (const event of script.events) await life.take(event);
  } catch (error) {
    if (!(error instanceof EndOfLife)) throw error;
  }
}

/** Thrown where a late timer of the recorded kernel kept an entry that rightly is gone: from there on the two go their ways. */
class EndOfLife extends Error {}

function entryOf({ state, expiresInMs, destination }: Connection): Entry {
  return {
    state,
    expires: Math.floor(expiresInMs / 1000),
    dest: formatAddressPort(destination.address, destination.port),
  };
}

/** As the recordings write an address and port: IPv6 without brackets. */
function plain(text: string | null): string | null {
  return text?.replace(/[[\]]/g, '') ?? null;
}

class Life {
  readonly #script: Script;
  readonly #director: Director;
  readonly #virtual: string;
  /** Of real sockets only the address is recorded. */
  readonly #client: string;
  readonly #servers: readonly string[];
  #server: string;
  /** The timeout that the entry was last seen to have, and when that ends. */
  #timeout = 0;
  #expiresAt: number | undefined;
  /** Who has sent its FIN. */
  readonly #shut = new Set<string>();
  readonly #template: TemplateTimer;

  constructor(script: Script, director: Director) {
    this.#script = script;
    this.#director = director;
    this.#client = parseAddressPort(script.client) ? script.client : `${script.client}:50000`;
    const words = (command: string, option: string) =>
      script.setup.flatMap((line) => new RegExp(` ${command} .*${option} (\\S+)`).exec(line)?.[1] ?? []);
    this.#virtual = words('-A', '(?:-[tu]|--sctp-service)')[0] ?? '';
    this.#servers = words('-a', '-r');
    this.#server = this.#servers[0] ?? '';
    this.#template = new TemplateTimer(Number(words('-A', '-p')[0] ?? 0));
  }

  async take(event: Event): Promise<void> {
    const what = `${event.event} at ${event.at}`;
    if (event.changes) return this.#waitForTheEnd(event.changes);
    this.#director.goTo(event.at - readingDelay);
    const [side = '', flags = '', data] = event.event.split(' ');
    if (this.#isOverdue(event)) throw new EndOfLife();
    if (calls[event.event]) this.#call(event.event, side);
    else if (side === 'c') expectSame(what, plain(this.#fromClient(flags, data)), event.forwarded_to ?? null);
    else if (side === 's')
      expectSame(what, plain(this.#fromServer(flags, data)), event.came_to_client_from ?? null);
    else if (side === 'ipvsadm') {
      if (!event.rc) await this.#director.ipvsadm(event.event.replace(/^ipvsadm /, ''));
    } else if (!/^(\+|wait )\d/.test(event.event)) throw new Needs(`the event "${event.event}"`);
    this.#director.goTo(event.at);
    this.#compare(event, what);
  }

  /** Of who has shut its half before, a close sends nothing. */
  #call(call: string, side: string): void {
    const isFin = /closes|shuts/.test(call);
    if (isFin && this.#shut.has(side)) return;
    if (isFin) this.#shut.add(side);
    for (const segment of calls[call] ?? []) {
      const [from, flags = '', data] = segment.split(' ');
      const passed = from === 'c' ? this.#fromClient(flags, data) : this.#fromServer(flags, data);
      expectSame(`${call}, ${segment}`, passed, from === 'c' ? this.#server : this.#virtual);
    }
  }

  #fromClient(flags: string, data: string | undefined): string | null {
    const to = this.#director.fromClient(this.#packet(this.#client, this.#virtual, flags, data));
    if (to !== null) this.#server = to;
    return to;
  }

  #fromServer(flags: string, data: string | undefined): string {
    return this.#director.fromServer(this.#packet(this.#server, this.#client, flags, data));
  }

  #packet(from: string, to: string, flags: string, data: string | undefined): PacketDescription {
    const [source, destination] = [parseAddressPort(from), parseAddressPort(to)];
    if (!source || !destination) throw new Needs(`addresses like ${from} and ${to}`);
    return {
      source: source.address,
      sourcePort: source.port,
      destination: destination.address,
      destinationPort: destination.port,
      protocol: this.#script.protocol === 'sctp' ? 'sctp' : flags === 'u' ? 'udp' : 'tcp',
      flags: flags === '-' ? '' : flags,
      payload: new Uint8Array(data === 'd' ? 4 : 0),
    };
  }

  /** Whether our entry went in time, and the recorded one is still there within what its timer may be late. */
  #isOverdue({ at, entries }: Event): boolean {
    const isGone = this.#expiresAt !== undefined && this.#entries().length === 0;
    return isGone && entries.length > 0 && at - (this.#expiresAt ?? 0) <= lateness(this.#timeout);
  }

  #entries(): Entry[] {
    return this.#director
      .connections()
      .flatMap((connection) => (connection.isTemplate ? [] : entryOf(connection)));
  }

  #compareTemplate(what: string, recorded: readonly Entry[]): void {
    const own = this.#director.connections().find(({ isTemplate }) => isTemplate);
    const theirs = recorded.find(({ template }) => template);
    this.#template.compare(what, this.#director.at, own && entryOf(own), theirs);
  }

  #compare(event: Event, what: string): void {
    if (/^c (S|u)/.test(event.event)) this.#template.used(event.at);
    this.#compareTemplate(what, event.entries);
    const entries = this.#entries();
    const expected = event.entries.filter(({ template }) => !template);
    const [recorded] = expected;
    if (recorded?.expires === 0 && entries.length === 0) return; // overdue there: a timer of the kernel is late
    expectSame(`${what} entries`, entries, expected);
    if (recorded && (/^[cs] /.test(event.event) || calls[event.event])) {
      this.#timeout = recorded.expires;
      const connection = this.#director.connections().find(({ isTemplate }) => !isTemplate);
      this.#expiresAt = this.#director.at + (connection?.expiresInMs ?? 0) / 1000;
    }
    const [counters] = this.#director.counters().values();
    expectSame(
      `${what} counters`,
      this.#servers.map((server) => counters?.get(server)),
      event.counters,
    );
  }

  /** Entries go at their time: never later than the kernel's went, nor earlier than its timers can be late. */
  #waitForTheEnd(changes: NonNullable<Event['changes']>): void {
    const start = this.#director.at;
    for (const { after, entries } of changes) {
      const before = this.#entries();
      this.#director.goTo(start + after - lateness(this.#timeout) - 0.1);
      if (this.#entries().length < before.length && before[0]?.expires !== 0) {
        throw new Differs(`the entry went ${lateness(this.#timeout) + 0.1} s or more before ${after}`);
      }
      this.#director.goTo(start + after);
      const what = `entries ${after} s later`;
      this.#compareTemplate(what, entries);
      const [own, recorded] = [this.#entries(), entries.filter(({ template }) => !template)];
      if (own.length > 0 || recorded.some(({ expires }) => expires > 0)) expectSame(what, own, recorded);
    }
  }
}
