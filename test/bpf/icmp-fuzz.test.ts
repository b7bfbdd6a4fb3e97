// SPDX-License-Identifier: Apache-2.0
// Random and damaged ICMP errors about connections: what is right stays right, what is wrong becomes no worse.
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { formatAddressPort } from '../../src/model/address.ts';
import { buildPacket, type PacketDescription } from '../lib/packet.ts';
import { missingForBpf, TestPlane } from '../lib/plane.ts';
import { numberFrom, Random } from '../lib/random.ts';
import { ethernetLength, sum } from '../lib/wire.ts';

const seed = numberFrom('BPVS_FUZZ_SEED', 20_261_121);
const packets = numberFrom('BPVS_FUZZ_ICMP_PACKETS', 200_000);

const ends = {
  v4: { client: '10.244.1.10', virtual: '10.96.0.80', destination: '10.244.2.20', router: '203.0.113.9' },
  v6: {
    client: 'fd00:10:244:1::10',
    virtual: 'fd00:10:96::80',
    destination: 'fd00:10:244:2::20',
    router: 'fd00:203:0:113::9',
  },
};
const errors = { v4: [3, 4, 11, 12], v6: [1, 2, 3, 4, 100, 127] };

interface Case {
  readonly hook: 'ingress' | 'egress';
  readonly sent: Buffer;
  /** What it has to become if nothing damages it. */
  readonly wanted: Buffer;
}

class Errors {
  readonly #random: Random;

  constructor(random: Random) {
    this.#random = random;
  }

  next(): Case {
    const random = this.#random;
    const family = random.pick(['v4', 'v6'] as const);
    const protocol = random.pick(['tcp', 'udp'] as const);
    const { client, virtual, destination, router } = ends[family];
    const more = { protocol, flags: 'A', payload: this.#bytes(random.below(600)), ...this.#options(family) };
    const near = { clientPort: 40000 + random.below(4) };
    const request = {
      ...more,
      source: client,
      sourcePort: near.clientPort,
      destination: virtual,
      destinationPort: 80,
    };
    const reply = {
      ...more,
      source: destination,
      sourcePort: 8080,
      destination: client,
      destinationPort: near.clientPort,
    };
    const icmp = { type: random.pick(errors[family]), code: random.below(16), rest: random.below(1 << 16) };
    const length = random.once(2) ? undefined : 8 + 2 * random.below(16); // no half of a checksum
    const outer = {
      protocol: 'icmp' as const,
      icmp,
      hopLimit: 1 + random.below(255),
      ...this.#options(family),
    };
    if (random.once(2)) {
      const sent = { ...outer, source: random.pick([destination, router]), destination: client };
      const translated = { ...request, destination, destinationPort: 8080 };
      return {
        hook: 'egress',
        sent: build(sent, translated, length),
        wanted: build({ ...sent, source: virtual }, request, length),
      };
    }
    const sent = { ...outer, source: random.pick([client, router]), destination: virtual };
    const translated = { ...reply, source: virtual, sourcePort: 80 };
    return {
      hook: 'ingress',
      sent: build(sent, translated, length),
      wanted: build({ ...sent, destination }, reply, length),
    };
  }

  /** Changes some bytes, or cuts it short. */
  damage(frame: Buffer): Buffer {
    const random = this.#random;
    const copy = Buffer.from(frame);
    if (random.once(4)) {
      const least = ethernetLength + (frame[12] === 8 ? 20 : 40); // BPF_PROG_TEST_RUN takes no less
      return copy.subarray(0, least + random.below(frame.length - least));
    }
    for (let n = 1 + random.below(3); n > 0; n--) {
      copy[ethernetLength + random.below(Math.min(120, frame.length - ethernetLength))] = random.below(256);
    }
    return copy;
  }

  #bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.#random.below(256));
  }

  #options(family: 'v4' | 'v6'): Partial<PacketDescription> {
    if (family === 'v6' || !this.#random.once(4)) return {};
    return { options: new Uint8Array(4 * (1 + this.#random.below(10))).fill(1) };
  }
}

function build(
  error: PacketDescription,
  about: PacketDescription,
  transportLength: number | undefined,
): Buffer {
  const quoted = buildPacket(about).subarray(ethernetLength);
  const header = about.source.includes(':') ? 40 : 20 + (about.options?.length ?? 0);
  const payload = quoted.subarray(
    0,
    transportLength === undefined ? quoted.length : header + transportLength,
  );
  return Buffer.from(buildPacket({ ...error, payload }));
}

/** Whether the checksums that are not the quoted packet's are right; of IPv6 that of ICMPv6 alone. */
function checksums(frame: Buffer): { ip: boolean; icmp: boolean } {
  const at = ethernetLength;
  if (frame[12] === 8) {
    const icmp = at + ((frame[at] ?? 0) & 15) * 4;
    const end = Math.min(frame.length, at + frame.readUInt16BE(at + 2));
    return { ip: sum(frame, at, icmp, 0) === 0xffff, icmp: sum(frame, icmp, end, 0) === 0xffff };
  }
  const length = frame.readUInt16BE(at + 4);
  const pseudo = sum(frame, at + 8, at + 40, 58 + length);
  return { ip: true, icmp: sum(frame, at + 40, Math.min(frame.length, at + 40 + length), pseudo) === 0xffff };
}

/** Only addresses, ports and checksums may differ, those in front and those that are quoted. */
function assertOnlyTuplesDiffer(before: Buffer, after: Buffer): void {
  assert.equal(after.length, before.length);
  const expected = Buffer.from(before);
  const take = (at: number, size: number) => {
    if (at < after.length) after.copy(expected, at, at, Math.min(at + size, after.length));
  };
  const takeHeader = (at: number) => {
    const isV4 = before[12] === 8;
    take(at + (isV4 ? 10 : 8), isV4 ? 10 : 32);
    return at + (isV4 ? ((before[at] ?? 0) & 15) * 4 : 40);
  };
  const icmp = takeHeader(ethernetLength);
  take(icmp + 2, 2);
  const transport = takeHeader(icmp + 8);
  take(transport, 4);
  const protocol = before[before[12] === 8 ? icmp + 8 + 9 : icmp + 8 + 6];
  if (protocol !== 132) take(transport + (protocol === 6 ? 16 : 6), 2);
  assert.ok(expected.equals(after), `more differs: ${after.toString('hex')}`);
}

suite('hostile ICMP', { skip: missingForBpf() ?? false }, () => {
  test(`${packets} random and damaged ICMP errors, seed ${seed} → the sound ones translated, no checksum made wrong or right`, (t) => {
    using plane = new TestPlane();
    const seen = { sound: 0, translated: 0, untouched: 0 };
    for (const { client, virtual, destination } of Object.values(ends)) {
      for (const protocol of ['tcp', 'udp'] as const) {
        plane.serve(protocol, formatAddressPort(virtual, 80), [formatAddressPort(destination, 8080)]);
        for (const sourcePort of [40000, 40001, 40002, 40003]) {
          const first = {
            source: client,
            sourcePort,
            destination: virtual,
            destinationPort: 80,
            protocol,
            flags: 'S',
          };
          plane.ingress(buildPacket(first));
        }
      }
    }
    const random = new Random(seed);
    const source = new Errors(random);
    for (let i = 0; i < packets; i++) {
      const { hook, sent, wanted } = source.next();
      const isSound = random.once(2);
      const frame = isSound ? sent : source.damage(sent);
      const outcome = plane[hook](frame);
      const after = Buffer.from(outcome.packet);
      try {
        assert.notEqual(outcome.verdict, 'drop');
        if (isSound) {
          assert.ok(
            after.equals(wanted),
            `expected ${wanted.toString('hex')}, received ${after.toString('hex')}`,
          );
          seen.sound += 1;
        } else if (after.equals(frame) || outcome.verdict === 'redirect') seen.untouched += 1;
        else {
          assertOnlyTuplesDiffer(frame, after);
          assert.deepEqual(checksums(after), checksums(frame));
          seen.translated += 1;
        }
      } catch (error) {
        throw new Error(`seed ${seed}: ${hook} ${frame.toString('hex')}`, { cause: error });
      }
    }
    t.diagnostic(`seed ${seed}, ${JSON.stringify(seen)}`);
    for (const [what, count] of Object.entries(seen)) assert.ok(count > packets / 50, `${what}: ${count}`);
  });
});
