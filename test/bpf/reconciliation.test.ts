// SPDX-License-Identifier: Apache-2.0
// Whatever happens to connections, what is counted of them is what the table of connections holds.
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { removeDataPlane } from '../../src/dataplane/bpf/cleanup.ts';
import { formatAddressPort } from '../../src/model/address.ts';
import type { AddressServiceKey, Protocol } from '../../src/model/virtual-service.ts';
import { buildPacket, tupleOf } from '../lib/packet.ts';
import { missingForBpf, socketAddress, TestPlane, type TestPlaneOptions } from '../lib/plane.ts';
import { numberFrom, Random } from '../lib/random.ts';
import { flowCount } from '../lib/talk.ts';

const seed = numberFrom('BPVS_HISTORY_SEED', 20_261_121);
const steps = 20_000;
const checkEvery = 100;
const restartEvery = 6000;
/** What a template has as its ports that leads nobody any more. */
const hiddenPort = 65_535;
const active = new Set<string>(['ESTABLISHED', 'SYN_SENT', 'SYN_RECV', 'SYNACK']);
const flags = ['S', 'A', 'A', 'A', 'FA', 'R', 'RA', ''];
const replyFlags = ['SA', 'A', 'A', 'FA', 'R', 'RA'];
const chunks = ['INIT', 'COOKIE-ECHO DATA', 'DATA', 'SHUTDOWN', 'SHUTDOWN-COMPLETE', 'ABORT'];
const replyChunks = ['INIT-ACK', 'COOKIE-ACK', 'DATA', 'SHUTDOWN-ACK', 'ABORT'];

/** A table so small that it is full now and then, and half-open connections displace one another. */
const sizes = { services: 32, destinations: 64, places: 8192, connections: 256, halfOpen: 64 };

const pinDirectory = `/sys/fs/bpf/bpvs-history-${process.pid}`;

class History implements Disposable {
  plane: TestPlane;
  readonly #options: TestPlaneOptions;
  readonly #random = new Random(seed);
  readonly #services: readonly AddressServiceKey[];
  readonly #present = new Map<AddressServiceKey, Set<string>>();
  /** Requests as destinations got them, to be answered. */
  readonly #received: { readonly frame: Uint8Array; readonly protocol: Protocol }[] = [];
  /** Requests that were translated: each counts once, at its destination, its service and the node. */
  #translated = 0n;

  constructor(expireNodestConn: boolean, connReuseMode: number) {
    const expireQuiescentTemplate = expireNodestConn;
    this.#options = { sizes, expireNodestConn, connReuseMode, expireQuiescentTemplate, pinDirectory };
    this.plane = new TestPlane(this.#options);
    const at = ['10.96.0.1:80', '10.96.0.2:80', '[fd00:10:96::1]:80', '10.96.0.3:80', '[fd00:10:96::2]:80'];
    this.#services = at.flatMap((each, n) =>
      (['tcp', 'udp', 'sctp'] as const).map((protocol) => ({
        ...this.plane.serve(protocol, each, [], {
          noDestination: 'drop',
          ...(n > 2 && { persistence: { timeoutSeconds: 30, prefixLength: n === 3 ? 31 : 128 } }),
        }),
        protocol,
      })),
    );
    for (const service of this.#services) {
      this.#present.set(service, new Set());
      for (let n = 0; n < 3; n++) this.#toggle(service, n);
    }
  }

  [Symbol.dispose](): void {
    this.plane[Symbol.dispose]();
    removeDataPlane(pinDirectory);
  }

  /** Another process takes the maps over, with programs of its own. */
  restart(): void {
    this.plane[Symbol.dispose]();
    this.plane = new TestPlane(this.#options);
    assert.ok(this.plane.plane.programs.isAdopted);
  }

  step(): void {
    const random = this.#random;
    const choice = random.below(200);
    if (choice === 0) this.plane.advance(random.below(120));
    else if (choice === 1) this.#toggle(random.pick(this.#services), random.below(3));
    else if (choice === 2) this.#weigh(random.pick(this.#services));
    else if (choice === 3 && random.below(10) === 0) this.#renew(random.pick(this.#services));
    else if (choice === 4 && random.below(10) === 0)
      this.plane.plane.zeroStatistics(random.pick(this.#services));
    else if (choice < 120) this.#request();
    else this.#reply();
  }

  #request(): void {
    const random = this.#random;
    const { protocol, address, port } = random.pick(this.#services);
    const isV6 = address.includes(':');
    const client = random.below(4);
    const packet = buildPacket({
      source: isV6 ? `fd00:10:244:1::${client + 1}` : `10.244.1.${client + 1}`,
      sourcePort: 40000 + random.below(40),
      destination: address,
      destinationPort: port,
      protocol,
      flags: random.pick(protocol === 'sctp' ? chunks : flags),
    });
    const outcome = this.plane.ingress(packet);
    if (outcome.verdict !== 'pass' || Buffer.from(packet).equals(outcome.packet)) return;
    this.#translated++;
    this.#received.push({ frame: outcome.packet, protocol });
    if (this.#received.length > 100) this.#received.shift();
  }

  #reply(): void {
    const request = this.#received[this.#random.below(this.#received.length)];
    if (!request) return;
    const { source, destination } = tupleOf(request.frame);
    const [to, from] = [socketAddress(source), socketAddress(destination)];
    this.plane.egress(
      buildPacket({
        source: from.address,
        sourcePort: from.port,
        destination: to.address,
        destinationPort: to.port,
        protocol: request.protocol,
        flags: this.#random.pick(request.protocol === 'sctp' ? replyChunks : replyFlags),
      }),
    );
  }

  #destination(service: AddressServiceKey, n: number, weight = 1) {
    /* Two services share their destinations: their clients' ports collide. */
    const address = service.address.includes(':') ? `fd00:10:244:2::${n + 1}` : `10.244.2.${n + 1}`;
    return { address, port: 8080, weight, forwarding: 'masq' as const };
  }

  #toggle(service: AddressServiceKey, n: number): void {
    const destination = this.#destination(service, n);
    const present = this.#present.get(service);
    assert.ok(present);
    const isThere = present.delete(destination.address);
    if (!isThere) present.add(destination.address);
    this.plane.apply({ do: isThere ? 'delete-destination' : 'add-destination', service, destination });
  }

  /** The service goes and comes back, and its destinations out of the trash with it. */
  #renew(service: AddressServiceKey): void {
    const present = this.#present.get(service);
    assert.ok(present);
    this.plane.apply({ do: 'delete-service', service });
    present.clear();
    if (this.#random.below(2)) this.#request(); // meets orphans
    this.plane.apply({
      do: 'add-service',
      service: { ...service, scheduler: 'rr', schedulerFlags: [], noDestination: 'drop' },
    });
    for (let n = 0; n < 3; n++) this.#toggle(service, n);
  }

  #weigh(service: AddressServiceKey): void {
    const destination = this.#destination(service, this.#random.below(3), this.#random.below(2));
    if (!this.#present.get(service)?.has(destination.address)) return;
    this.plane.apply({ do: 'edit-destination', service, destination });
  }

  /** By virtual service and destination; of hidden templates the ports are not known any more. */
  check(): void {
    const counted = new Map<string, [number, number]>();
    const templates = new Map<string, number>();
    let [connections, visible] = [0, 0];
    for (const { protocol, virtual, destination, state, isTemplate } of this.plane.plane.connections()) {
      const key = keyOf(protocol, virtual, destination);
      if (isTemplate) {
        if (virtual.port !== hiddenPort) visible++;
        const id = `${protocol} ${virtual.address} ${destination.address}`;
        templates.set(id, (templates.get(id) ?? 0) + 1);
        continue;
      }
      const counts = counted.get(key) ?? [0, 0];
      counts[active.has(state) ? 0 : 1]++;
      counted.set(key, counts);
      connections++;
    }
    assert.equal(
      flowCount(this.plane),
      2 * connections + visible,
      'each connection is found by both of its directions, each template by its client',
    );
    for (const service of this.plane.plane.services()) {
      if (service.mark !== undefined) continue;
      for (const destination of service.destinations) {
        const key = keyOf(service.protocol, service, destination);
        const { activeConnections, inactiveConnections } = destination;
        assert.deepEqual([activeConnections, inactiveConnections], counted.get(key) ?? [0, 0], key);
        const persistent: string = `${service.protocol} ${service.address} ${destination.address}`;
        assert.equal(destination.persistentConnections, templates.get(persistent) ?? 0, persistent);
      }
    }
    assert.equal(this.plane.plane.totals().statistics.inPackets, this.#translated);
  }
}

interface End {
  readonly address: string;
  readonly port: number;
}

function keyOf(protocol: string, virtual: End, destination: End): string {
  const text = ({ address, port }: End) => formatAddressPort(address, port);
  return `${protocol} ${text(virtual)} ${text(destination)}`;
}

suite('counters of connections', { skip: missingForBpf() ?? false }, () => {
  for (const expireNodestConn of [false, true]) {
    for (const connReuseMode of [0, 1]) {
      const settings = `expire_nodest_conn ${expireNodestConn ? 1 : 0}, conn_reuse_mode ${connReuseMode}`;
      test(`${settings}: over ${steps} random packets, times, changes and restarts they are those of the table (seed ${seed})`, (t) => {
        using history = new History(expireNodestConn, connReuseMode);
        for (let step = 0; step < steps; step++) {
          history.step();
          if (step % checkEvery === 0) history.check();
          if (step % restartEvery === restartEvery - 1) {
            history.restart();
            history.check();
          }
        }
        const reasons = Object.fromEntries(history.plane.plane.view.reasons());
        t.diagnostic(
          Object.entries(reasons)
            .map(([name, count]) => `${name} ${count}`)
            .join(', '),
        );
        assert.ok(history.plane.reason('displaced_half_open') > 0n);
        assert.ok(history.plane.reason('expired') > 0n);
        history.plane.advance(1000);
        history.plane.advance(1000); // templates that were held until then
        history.check();
        assert.equal(flowCount(history.plane), 0);
      });
    }
  }
});
