// SPDX-License-Identifier: Apache-2.0
// A million hostile packets: whatever comes in, nothing wrong comes out.
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { addressBytes, addressFamily, formatAddressPort } from '../../src/model/address.ts';
import { protocolNumbers } from '../../src/model/virtual-service.ts';
import { HostilePackets } from '../lib/hostile.ts';
import { type Plain, plainOf } from '../lib/plain.ts';
import { missingForBpf, type Outcome, TestPlane } from '../lib/plane.ts';
import { numberFrom, Random } from '../lib/random.ts';
import { ethernetLength, readWire, repairChecksums, sum, type Wire } from '../lib/wire.ts';

const seed = numberFrom('BPVS_FUZZ_SEED', 20_261_121);
const packets = numberFrom('BPVS_FUZZ_PACKETS', 1_000_000);

const clients = ['10.244.1.10', '10.244.1.11', '192.0.2.100', 'fd00:10:244:1::10', 'fd00:10:244:1::11'];
const servers = ['10.244.2.20', '10.244.2.21', 'fd00:10:244:2::20', 'fd00:10:244:2::21'];
const clientPorts = [20, 1024, 40000, 40001, 40002, 40003];
const serverPort = 8080;

interface Target {
  readonly destinations: readonly string[];
  readonly noDestination: 'reject' | 'drop';
}

/** What the n-th virtual address of a family serves, in TCP, UDP and SCTP alike: port 80 round robin, 443 by source. */
function targetsOf(family: 4 | 6): readonly Target[] {
  const ofFamily = (list: readonly string[]) => list.filter((address) => addressFamily(address) === family);
  return [
    { destinations: ofFamily(servers), noDestination: 'reject' },
    { destinations: ofFamily(clients), noDestination: 'reject' },
    {
      destinations: [...ofFamily(servers).slice(0, 1), ...ofFamily(clients).slice(0, 1)],
      noDestination: 'drop',
    },
    { destinations: [], noDestination: 'reject' },
    { destinations: [], noDestination: 'drop' },
  ];
}

const virtualAddress = (family: 4 | 6, n: number) =>
  family === 4 ? `10.96.0.${10 + n}` : `fd00:10:96::${10 + n}`;
const hex = (address: string) =>
  Buffer.from(addressBytes(address).subarray(0, addressFamily(address) === 4 ? 4 : 16)).toString('hex');

/** A client's or a destination's end and the virtual one, of a connection that was seen to be translated. */
interface Known {
  readonly client: string;
  readonly clientPort: number;
  readonly virtual: string;
  readonly virtualPort: number;
}

class Fuzz implements Disposable {
  readonly plane = new TestPlane({
    sizes: { services: 64, destinations: 256, places: 65_536, connections: 4096, halfOpen: 1024 },
  });
  readonly seen: Record<string, number> = {};
  readonly #random = new Random(seed);
  readonly #packets: HostilePackets;
  readonly #targets = new Map<string, Target>();
  readonly #virtuals = new Set<string>();
  /** By the reply as it is met, with the hook that meets it. */
  readonly #replies = new Map<string, Known>();
  /** Whose first fragments were met, with the hook that met them. */
  readonly #datagrams = new Set<string>();
  #drops = 0n;

  constructor() {
    const virtuals: string[] = [];
    for (const family of [4, 6] as const) {
      for (const [n, target] of targetsOf(family).entries()) {
        virtuals.push(virtualAddress(family, n));
        this.#virtuals.add(hex(virtualAddress(family, n)));
        this.#serve(virtualAddress(family, n), target);
      }
    }
    this.#packets = new HostilePackets(this.#random, {
      addresses: [...clients, ...clients, ...servers, ...virtuals],
      ports: [...clientPorts, serverPort, 80, 443, 53],
      targets: { addresses: virtuals, ports: [80, 443] },
    });
  }

  #serve(address: string, target: Target): void {
    for (const protocol of ['tcp', 'udp', 'sctp'] as const) {
      for (const [port, scheduler] of [
        [80, 'rr'],
        [443, 'sh'],
      ] as const) {
        const destinations = target.destinations.map((each) => formatAddressPort(each, serverPort));
        const { noDestination } = target;
        this.plane.serve(protocol, formatAddressPort(address, port), destinations, {
          scheduler,
          noDestination,
        });
        this.#targets.set(`${protocolNumbers[protocol]} ${hex(address)} ${port}`, target);
      }
    }
  }

  step(): void {
    const { frame, context } = this.#packets.next();
    const hook = this.#random.once(3) ? 'egress' : 'ingress';
    const isByNic = hook === 'ingress' && this.#random.once(2);
    try {
      this.#check(frame, hook, isByNic ? this.#runAtNic(frame) : this.#run(frame, hook, context));
    } catch (error) {
      const packet = `${hook} ${frame.toString('hex')}`;
      throw new Error(`seed ${seed}: ${packet}${context ? ' with offload' : ''}`, { cause: error });
    }
    if (this.#random.once(2000)) this.plane.advance(this.#random.below(4000) / 1000);
  }

  /** Every drop was seen when it happened: at the end no others are counted. */
  finish(): void {
    assert.equal(this.#droppedCount(), this.#drops, 'packets counted as dropped');
  }

  [Symbol.dispose](): void {
    this.plane[Symbol.dispose]();
  }

  #run(frame: Buffer, hook: 'ingress' | 'egress', context?: Buffer): Outcome & { readonly packet: Buffer } {
    const program = this.plane.plane.programs.program(`tc_${hook}`);
    const { returnValue, data } = program.testRun({
      data: frame,
      ...(context && { context }),
      contextOutSize: 0,
    });
    const verdict = ({ 4294967295: 'pass', 2: 'drop', 7: 'redirect' } as const)[returnValue];
    assert.ok(verdict, `the hook returned ${returnValue}`);
    return { verdict, packet: data };
  }

  /** XDP first. What it has translated is nothing to tc any more; what it leaves as it is, tc does. */
  #runAtNic(frame: Buffer): Outcome & { readonly packet: Buffer } {
    const { returnValue, data } = this.plane.plane.programs.program('xdp_ingress').testRun({ data: frame });
    assert.equal(returnValue, 2, 'XDP passes');
    const outcome = this.#run(data, 'ingress');
    if (data.equals(frame)) return outcome;
    assert.deepEqual(outcome, { verdict: 'pass', packet: data }, 'tc leaves alone what XDP translated');
    this.#count('translated by XDP');
    return outcome;
  }

  #count(what: string): void {
    this.seen[what] = (this.seen[what] ?? 0) + 1;
  }

  #droppedCount(): bigint {
    let dropped = 0n;
    for (const [name, count] of this.plane.plane.view.reasons())
      if (name.startsWith('dropped_')) dropped += count;
    return dropped;
  }

  /** A fragment or a packet with extension headers must fare as the plain packet would that it is a part or form of. */
  #check(frame: Buffer, hook: 'ingress' | 'egress', outcome: Outcome & { readonly packet: Buffer }): void {
    const met = plainOf(frame);
    if (met.kind === 'plain') this.#checkPlain(frame, hook, outcome);
    else if (met.kind === 'message' && outcome.verdict !== 'drop') this.#count('message, extended');
    else if (!('frame' in met)) this.#checkFragment(met, frame, hook, outcome);
    else if (outcome.verdict === 'drop' && !readWire(met.frame))
      this.#checkFragment(met, frame, hook, outcome);
    else if (
      outcome.verdict === 'drop' &&
      met.kind === 'first fragment' &&
      readWire(met.frame)?.protocol === 132
    ) {
      this.#count('first fragment of SCTP, dropped'); // what its CRC becomes cannot be known
      assert.equal(this.#droppedCount(), ++this.#drops, 'one more packet counted as dropped');
    } else {
      if (!outcome.packet.equals(frame)) this.#count(met.kind);
      if (met.kind === 'first fragment') this.#datagrams.add(`${hook} ${met.datagram}`);
      const left = plainOf(outcome.packet);
      const isAnswer = left.kind === 'plain'; // rejected
      if (isAnswer) assert.equal(outcome.verdict, 'redirect');
      else assert.ok('frame' in left, 'it stays what it is');
      if (!isAnswer) this.#checkPlain(met.frame, hook, { ...outcome, packet: left.frame });
    }
  }

  /** What has no ports to know it by is left alone, dropped if it is for a virtual address, or follows its first fragment. */
  #checkFragment(
    met: Plain,
    frame: Buffer,
    hook: 'ingress' | 'egress',
    { verdict, packet }: Outcome & { readonly packet: Buffer },
  ): void {
    const { kind } = met;
    const isKnown = 'datagram' in met && this.#datagrams.has(`${hook} ${met.datagram}`);
    const isV4 = frame[12] === 8;
    const [addresses, end] = isV4 ? [24, 34] : [22, 54];
    if (verdict === 'drop') {
      this.#count(`${kind}, dropped`);
      const target = frame.toString('hex', isV4 ? 30 : 38, end);
      const isOurs = hook === 'ingress' && this.#virtuals.has(target);
      assert.ok(isOurs || isKnown, 'only fragments to a virtual address are dropped, or of a known datagram');
      assert.equal(this.#droppedCount(), ++this.#drops, 'one more packet counted as dropped');
      return;
    }
    if (verdict === 'pass' && frame.equals(packet)) return;
    this.#count(`${kind}, translated`);
    assert.ok(kind === 'later fragment' && isKnown, 'a fragment of no datagram known is left alone');
    const expected = Buffer.from(frame);
    packet.copy(expected, addresses, addresses, end);
    if (verdict === 'redirect') packet.copy(expected, 0, 0, 12);
    assert.ok(expected.equals(packet), 'only addresses differ');
  }

  #checkPlain(
    frame: Buffer,
    hook: 'ingress' | 'egress',
    { verdict, packet }: Outcome & { readonly packet: Buffer },
  ): void {
    const wire = readWire(frame);
    if (verdict === 'drop') {
      this.#count('dropped');
      assert.equal(hook, 'ingress', 'nothing is dropped on its way to a client');
      // What was known may have ended since, and a packet of it then ends here, too.
      const mayEndHere = wire && this.#virtuals.has(wire.destination) && mayBegin(wire);
      const isOurs = wire && (this.#targetOf(wire) || mayEndHere);
      assert.ok(isOurs, 'only packets of a virtual service are dropped');
      assert.equal(this.#droppedCount(), ++this.#drops, 'one more packet counted as dropped');
      return;
    }
    const target = wire && hook === 'ingress' ? this.#targetOf(wire) : undefined;
    const isForUs = wire && target && mayOpen(wire) && frame.readUIntBE(0, 6) === 0;
    if (verdict === 'pass' && frame.equals(packet)) {
      assert.ok(!isForUs, 'the first packet of a connection to a virtual service is not left alone');
      this.#count(wire ? 'untouched, whole' : 'untouched, malformed');
      return;
    }
    if (!wire && this.#isEchoReply(frame, packet)) return;
    assert.ok(wire, 'a packet that is not whole is left alone');
    // What was known may have ended since: then the answer is no packet of its connection.
    if (this.#endsHere(frame, wire, hook) && (!this.#known(wire, hook) || !readWire(packet))) {
      assert.equal(verdict, 'redirect');
      this.#checkReject(frame, wire, packet);
    } else if (isForUs && target.destinations.length === 0 && !this.#known(wire, hook)) {
      assert.equal(verdict, 'redirect');
      this.#checkReject(frame, wire, packet);
    } else this.#checkTranslation(frame, wire, hook, verdict, packet);
  }

  #targetOf(wire: Wire): Target | undefined {
    return this.#targets.get(`${wire.protocol} ${wire.destination} ${wire.destinationPort}`);
  }

  /** A first packet to a virtual address's port where no service is. */
  #endsHere(frame: Buffer, wire: Wire, hook: string): boolean {
    return (
      hook === 'ingress' &&
      frame.readUIntBE(0, 6) === 0 &&
      mayBegin(wire) &&
      !this.#targetOf(wire) &&
      this.#virtuals.has(wire.destination)
    );
  }

  /** Checksums of echo requests are right only by chance: the reply's tells as much. */
  #isEchoReply(frame: Buffer, packet: Buffer): boolean {
    const isV4 = frame[12] === 8;
    const icmp = ethernetLength + (isV4 ? ((frame[ethernetLength] ?? 0) & 15) * 4 : 40);
    const [from, size] = isV4 ? [ethernetLength + 12, 4] : [ethernetLength + 8, 16];
    const [request, reply] = isV4 ? [8, 0] : [128, 129];
    const isLater = isV4 && frame[ethernetLength + 9] === 1 && (frame.readUInt16BE(20) & 0x1fff) !== 0;
    return (
      (isLater || (frame[icmp] === request && packet[icmp] === reply)) &&
      swapped(frame, packet) &&
      this.#virtuals.has(packet.toString('hex', from, from + size)) &&
      frame.compare(packet, from, from + size, from + size, from + 2 * size) === 0
    );
  }

  #known(wire: Wire, hook: string): Known | undefined {
    const { protocol, source, sourcePort, destination, destinationPort } = wire;
    return this.#replies.get(`${hook} ${protocol} ${source} ${sourcePort} ${destination} ${destinationPort}`);
  }

  #checkTranslation(
    frame: Buffer,
    wire: Wire,
    hook: 'ingress' | 'egress',
    verdict: string,
    packet: Buffer,
  ): void {
    const out = readWire(packet);
    assert.ok(out, 'a whole packet comes out as one');
    assertOnlyTupleDiffers(frame, wire, packet, out, verdict === 'redirect');
    const known = this.#known(wire, hook);
    if (known && isReplyOf(known, out)) {
      this.#count(`reply at ${hook}`);
      return;
    }
    assert.equal(hook, 'ingress', 'a packet of no connection is left alone on its way to a client');
    const target = this.#targetOf(wire);
    assert.ok(target, 'a packet to no virtual service is left alone');
    assert.ok(target.destinations.some((address) => hex(address) === out.destination));
    assert.equal(out.destinationPort, serverPort);
    const isHairpin = out.destination === wire.source;
    assert.equal(verdict, isHairpin ? 'redirect' : 'pass');
    assert.equal(out.source, isHairpin ? wire.destination : wire.source);
    this.#count(isHairpin ? 'turned round' : 'translated');
    if (out.protocol === 132) this.#count('translated, SCTP');
    this.#remember(wire, out, isHairpin ? 'ingress' : 'egress');
    /* The kernel takes no more than about a page; a first fragment in one piece may be longer. */
    if (this.#random.once(4) && packet.length < 2048)
      this.#checkInverse(packet, out, isHairpin ? 'ingress' : 'egress');
  }

  #remember(wire: Wire, out: Wire, hook: 'ingress' | 'egress'): void {
    const reply = `${out.destination} ${out.destinationPort} ${out.source} ${out.sourcePort}`;
    this.#replies.set(`${hook} ${out.protocol} ${reply}`, {
      client: wire.source,
      clientPort: wire.sourcePort,
      virtual: wire.destination,
      virtualPort: wire.destinationPort,
    });
  }

  /** The destination answers what it got: the client sees the virtual address. */
  #checkInverse(packet: Buffer, out: Wire, hook: 'ingress' | 'egress'): void {
    const reply = Buffer.from(packet);
    const size = out.family === 4 ? 4 : 16;
    const addresses = ethernetLength + (out.family === 4 ? 12 : 8);
    reply.write(out.destination + out.source, addresses, 2 * size, 'hex');
    reply.writeUInt16BE(out.destinationPort, out.transport);
    reply.writeUInt16BE(out.sourcePort, out.transport + 2);
    if (out.protocol === 6) reply[out.transport + 13] = 0x12;
    if (out.protocol === 132) reply[out.transport + 12] = 2;
    repairChecksums(reply);
    const wire = readWire(reply);
    assert.ok(wire);
    const answer = this.#run(reply, hook);
    assert.ok(!reply.equals(answer.packet), 'the reply is translated back');
    this.#checkTranslation(reply, wire, hook, answer.verdict, answer.packet);
    this.#count('inverse');
  }

  #checkReject(frame: Buffer, wire: Wire, packet: Buffer): void {
    const ip = ethernetLength;
    const isV4 = wire.family === 4;
    const icmp = ip + (isV4 ? 20 : 40);
    assert.ok(swapped(frame, packet), 'it goes back where it came from');
    assert.equal(packet.toString('hex', 12, 14), frame.toString('hex', 12, 14));
    const [from, to] = isV4 ? [ip + 12, ip + 20] : [ip + 8, ip + 40];
    assert.equal(packet.toString('hex', from, to), wire.destination + wire.source);
    assert.equal(packet[isV4 ? ip + 9 : ip + 6], isV4 ? 1 : 58);
    assert.deepEqual([packet[icmp], packet[icmp + 1]], isV4 ? [3, 3] : [1, 4]);
    const length = packet.length - icmp;
    const pseudo = isV4 ? 0 : sum(packet, from, to, 58 + length);
    assert.equal(sum(packet, icmp, packet.length, pseudo), 0xffff, 'ICMP checksum');
    if (isV4) assert.equal(sum(packet, ip, icmp, 0), 0xffff, 'IP header checksum');
    assert.equal(packet.readUInt16BE(isV4 ? ip + 2 : ip + 4), isV4 ? packet.length - ip : length);
    const quote = packet.subarray(icmp + 8);
    assert.ok(quote.length >= Math.min(28, wire.end - ip), 'enough is quoted to know the socket by');
    const original = Buffer.from(frame.subarray(ip, ip + quote.length));
    const checksum = wire.transport - ip + (wire.protocol === 6 ? 16 : 6);
    if (wire.protocol !== 132) quote.copy(original, checksum, checksum, checksum + 2); // settled for those that would complete it
    assert.ok(quote.equals(original), 'the quote is the packet');
    this.#count('rejected');
  }
}

function isReplyOf(known: Known, out: Wire): boolean {
  return (
    known.virtual === out.source &&
    known.virtualPort === out.sourcePort &&
    known.client === out.destination &&
    known.clientPort === out.destinationPort
  );
}

/** A client's source port of 20 is never scheduled. */
function mayOpen(wire: Wire): boolean {
  return wire.sourcePort !== 20 && mayBegin(wire);
}

function mayBegin(wire: Wire): boolean {
  if (isMartian(wire.source) || wire.source === wire.destination) return false;
  if (wire.protocol === 132) return wire.chunk === 1;
  return wire.protocol === 17 || (wire.tcpFlags & 6) === 2;
}

/** A source in hex that can be no client. */
function isMartian(source: string): boolean {
  if (source.length === 32) return /^(ff|0{31}[01]$)/.test(source);
  const first = Number.parseInt(source.slice(0, 2), 16);
  return first === 0 || first === 127 || first >= 224;
}

function swapped(before: Buffer, after: Buffer): boolean {
  return before.compare(after, 6, 12, 0, 6) === 0 && before.compare(after, 0, 6, 6, 12) === 0;
}

/** Byte for byte the same but for addresses, ports, checksums, and MAC addresses where it is turned round. */
function assertOnlyTupleDiffers(
  frame: Buffer,
  wire: Wire,
  packet: Buffer,
  out: Wire,
  isTurned: boolean,
): void {
  const { family, protocol, transport } = wire;
  const expected = Buffer.from(frame);
  const take = (at: number, size: number) => packet.copy(expected, at, at, at + size);
  if (isTurned) {
    assert.ok(swapped(frame, packet), 'turned round');
    take(0, 12);
  }
  if (family === 4) take(ethernetLength + 10, 10);
  else take(ethernetLength + 8, 32);
  take(transport, 4);
  if (protocol === 132) take(transport + 8, 4);
  else take(transport + (protocol === 6 ? 16 : 6), 2);
  assert.ok(expected.equals(packet), `only addresses, ports and checksums differ: ${packet.toString('hex')}`);
  assert.equal(out.isHeaderChecksumRight, wire.isHeaderChecksumRight, 'IP header checksum');
  assert.equal(out.transportChecksum, wire.transportChecksum, 'transport checksum');
}

suite('hostile packets', { skip: missingForBpf() ?? false }, () => {
  test(`${packets} random and damaged packets, seed ${seed} → no wrong checksum, no rewrite of a packet that is not ours, no uncounted drop`, (t) => {
    using fuzz = new Fuzz();
    const start = performance.now();
    for (let i = 0; i < packets; i++) fuzz.step();
    fuzz.finish();
    t.diagnostic(`seed ${seed}, ${Math.round(performance.now() - start)} ms, ${JSON.stringify(fuzz.seen)}`);
    const kinds = [
      'untouched, whole',
      'untouched, malformed',
      'translated',
      'translated by XDP',
      'translated, SCTP',
      'turned round',
      'reply at ingress',
      'reply at egress',
      'inverse',
      'rejected',
      'dropped',
      'first fragment',
      'later fragment, dropped',
      'extended',
    ];
    assert.ok(fuzz.seen['later fragment, translated'], 'later fragments meet their first one');
    for (const kind of kinds)
      assert.ok((fuzz.seen[kind] ?? 0) > packets / 2000, `${kind}: ${fuzz.seen[kind]}`);
  });
});
