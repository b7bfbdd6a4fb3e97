// SPDX-License-Identifier: Apache-2.0
// Persistence against a model of it, over random histories: who is led where, how long, and what is counted.
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { destinationId, type VirtualServiceKey } from '../../src/model/virtual-service.ts';
import { buildPacket, tupleOf } from '../lib/packet.ts';
import { missingForBpf, socketAddress, TestPlane } from '../lib/plane.ts';
import { numberFrom, Random } from '../lib/random.ts';

const seed = numberFrom('BPVS_PERSISTENCE_SEED', 20_261_121);
const histories = 6;
const steps = 400;
const udpSeconds = 41;
const heldSeconds = 60;
const mark = 7;
const hidden = 65_535;

interface Kind {
  readonly key: VirtualServiceKey;
  readonly timeoutSeconds: number;
  readonly prefixLength: number;
  /** Where a client's packets may go, "address:port". */
  readonly targets: readonly string[];
  /** The template's virtual side for a packet to such a target. */
  readonly virtual: (target: string) => string;
  readonly destinationPort: number;
}

const kinds: readonly Kind[] = [
  {
    key: { protocol: 'udp', address: '10.96.0.1', port: 80 },
    ...{ timeoutSeconds: 30, prefixLength: 32, targets: ['10.96.0.1:80'] },
    ...{ virtual: (target) => `udp ${target}`, destinationPort: 8080 },
  },
  {
    key: { protocol: 'udp', address: '10.96.0.2', port: 0 },
    ...{ timeoutSeconds: 90, prefixLength: 30, targets: ['10.96.0.2:53', '10.96.0.2:5353'] },
    ...{ virtual: () => 'udp 10.96.0.2:0', destinationPort: 0 },
  },
  {
    key: { mark, family: 4 },
    ...{ timeoutSeconds: 50, prefixLength: 0, targets: ['203.0.113.1:80', '203.0.113.2:443'] },
    ...{ virtual: () => `ip 0.0.0.${mark}:0`, destinationPort: 0 },
  },
];

interface Template {
  readonly kind: Kind;
  readonly client: string;
  readonly destination: string;
  virtual: string;
  timeoutSeconds: number;
  expiresAt: number;
  state: 'NONE' | 'ASSURED';
}

interface End {
  readonly address: string;
  readonly port: number;
}

interface Opened {
  readonly template: Template;
  expiresAt: number;
}

class History implements Disposable {
  readonly plane: TestPlane;
  readonly #random: Random;
  readonly #isExpireQuiescent: boolean;
  readonly #weights = new Map<string, number>();
  #templates: Template[] = [];
  #connections: Opened[] = [];
  #now = 0;
  #port = 1024;

  constructor(random: Random, expireQuiescentTemplate: boolean) {
    this.#random = random;
    this.#isExpireQuiescent = expireQuiescentTemplate;
    this.plane = TestPlane.reuse({
      expireQuiescentTemplate,
      timeouts: { tcpSeconds: 900, tcpFinSeconds: 120, udpSeconds },
    });
    for (const { key, ...kind } of kinds) {
      const { timeoutSeconds, prefixLength } = kind;
      const terms = { scheduler: 'rr', schedulerFlags: [], noDestination: 'drop' } as const;
      const persistence = { timeoutSeconds, prefixLength };
      this.plane.apply({ do: 'add-service', service: { ...key, ...terms, persistence } });
    }
    for (const kind of kinds) for (let n = 1; n <= 3; n++) this.#toggle(kind, n);
  }

  [Symbol.dispose](): void {
    this.plane.advance(10_000);
  }

  step(): void {
    const random = this.#random;
    const choice = random.below(100);
    if (choice < 70) this.#open(random.pick(kinds));
    else if (choice < 85) this.#wait(2 + 2 * random.below(random.once(5) ? 50 : 8));
    else if (choice < 93) this.#weigh(random.pick(kinds), 1 + random.below(3));
    else this.#toggle(random.pick(kinds), 1 + random.below(3));
    this.#check();
  }

  #destination(kind: Kind, n: number) {
    return { address: `10.244.${kinds.indexOf(kind)}.${n}`, port: kind.destinationPort };
  }

  #toggle(kind: Kind, n: number): void {
    const destination = { ...this.#destination(kind, n), weight: 1, forwarding: 'masq' as const };
    const isThere = this.#weights.delete(destinationId(destination));
    if (!isThere) this.#weights.set(destinationId(destination), 1);
    const service = kind.key;
    this.plane.apply({ do: isThere ? 'delete-destination' : 'add-destination', service, destination });
  }

  #weigh(kind: Kind, n: number): void {
    const weight = this.#random.below(2);
    const destination = { ...this.#destination(kind, n), weight, forwarding: 'masq' as const };
    if (!this.#weights.has(destinationId(destination))) return;
    this.#weights.set(destinationId(destination), weight);
    this.plane.apply({ do: 'edit-destination', service: kind.key, destination });
  }

  /** A client's datagram from a port of its own; half of them are answered. */
  #open(kind: Kind): void {
    const random = this.#random;
    const target = random.pick(kind.targets);
    const to = socketAddress(target);
    const octet = random.below(12);
    const client = { address: `192.0.2.${octet}`, port: this.#port++ };
    const { verdict, packet } = this.plane.ingress(datagram(client, to), 0, kind.key.mark ?? 0);
    const masked = `192.0.2.${kind.prefixLength === 32 ? octet : octet & ~3}`;
    const network = kind.prefixLength === 0 ? '0.0.0.0' : masked;
    const virtual = kind.virtual(target);
    const template = this.#templates.find((each) => each.client === network && each.virtual === virtual);
    const isValid = template !== undefined && this.#leadsSomewhere(template);
    if (template && !isValid) template.virtual = template.virtual.replace(/:\d+$/, `:${hidden}`);
    const usable = [...this.#weights].filter(
      ([id, weight]) => weight > 0 && id.startsWith(`10.244.${kinds.indexOf(kind)}.`),
    );
    const isServed = isValid || usable.length > 0;
    assert.equal(verdict, isServed ? 'pass' : 'drop');
    if (!isServed) return;
    const went = socketAddress(tupleOf(packet).destination);
    assert.equal(went.port, kind.destinationPort === 0 ? to.port : kind.destinationPort);
    const destination = destinationId({ ...went, port: kind.destinationPort });
    let used = template;
    if (isValid) assert.equal(destination, template.destination, 'the client is led where it was before');
    else {
      assert.ok(usable.some(([id]) => id === destination));
      const { timeoutSeconds } = kind;
      used = { kind, client: network, destination, virtual, timeoutSeconds, expiresAt: 0, state: 'NONE' };
      this.#templates.push(used);
    }
    assert.ok(used);
    used.expiresAt = this.#now + used.timeoutSeconds;
    this.#connections.push({ template: used, expiresAt: this.#now + udpSeconds });
    if (!random.once(2)) return;
    this.plane.egress(datagram(went, client));
    used.state = 'ASSURED';
  }

  #leadsSomewhere({ destination }: Template): boolean {
    const weight = this.#weights.get(destination);
    return weight !== undefined && (weight > 0 || !this.#isExpireQuiescent);
  }

  /**
   * Second by second, so that each sweep meets what is due. Connections expire at odd seconds and templates at even ones:
   * what a sweep does with a template whose last connection expires with it depends on which one it meets first.
   */
  #wait(seconds: number): void {
    for (let second = 0; second < seconds; second++) {
      this.plane.advance(1);
      this.#now++;
      this.#connections = this.#connections.filter(({ expiresAt }) => expiresAt > this.#now);
      const held = new Set(this.#connections.map(({ template }) => template));
      this.#templates = this.#templates.filter(
        (template) => template.expiresAt > this.#now || held.has(template),
      );
      for (const template of this.#templates) {
        if (template.expiresAt > this.#now) continue;
        template.timeoutSeconds = heldSeconds;
        template.expiresAt = this.#now + heldSeconds;
      }
    }
  }

  #listed(): readonly string[] {
    const end = ({ address, port }: End) => `${address}:${port}`;
    return [...this.plane.plane.connections()]
      .filter(({ isTemplate }) => isTemplate)
      .map(
        ({ protocol, virtual, client, destination, state, expiresInMs }) =>
          `${protocol} ${end(virtual)} ${client.address} ${destination.address} ${state} ${Math.round(expiresInMs / 1000)}`,
      );
  }

  #check(): void {
    const expected = this.#templates.map((each) => text(each, this.#now));
    const listed = this.#listed();
    assert.deepEqual([...listed].sort(), expected.sort());
    for (const service of this.plane.plane.services()) {
      for (const destination of service.destinations) {
        const id = destinationId(destination);
        const templates = this.#templates.filter((each) => each.destination === id);
        const opened = this.#connections.filter(({ template }) => template.destination === id);
        const { persistentConnections, inactiveConnections } = destination;
        assert.deepEqual([persistentConnections, inactiveConnections], [templates.length, opened.length], id);
      }
    }
  }
}

function datagram(from: End, to: End): Uint8Array {
  return buildPacket({
    source: from.address,
    sourcePort: from.port,
    destination: to.address,
    destinationPort: to.port,
    protocol: 'udp',
  });
}

/** As #listed. */
function text({ virtual, client, destination, state, expiresAt }: Template, now: number): string {
  return `${virtual} ${client} ${destination.replace(/:\d+$/, '')} ${state} ${expiresAt - now}`;
}

suite('persistence', { skip: missingForBpf() ?? false }, () => {
  for (let n = 0; n < histories; n++) {
    const isQuiescent = n % 2 === 1;
    test(`expire_quiescent_template ${n % 2}: random history ${n} of ${steps} steps goes as the model (seed ${seed})`, () => {
      using history = new History(new Random(seed + n), isQuiescent);
      for (let step = 0; step < steps; step++) history.step();
    });
  }
});
