// SPDX-License-Identifier: Apache-2.0
// Fragments through the hooks: each must be the fragment that its sender would have made of the translated datagram.
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { extension, fragmentOf, fragmentsOf, withExtensions } from '../lib/fragments.ts';
import { buildPacket, macClient, macNode, type PacketDescription } from '../lib/packet.ts';
import { missingForBpf, type Outcome, TestPlane } from '../lib/plane.ts';

interface Row {
  readonly family: 'v4' | 'v6';
  readonly client: string;
  readonly virtual: string;
  readonly other: string;
  readonly destination: string;
  readonly format: (address: string, port: number) => string;
}

const rows: readonly Row[] = [
  {
    family: 'v4',
    client: '10.244.1.10',
    virtual: '10.96.0.10',
    other: '10.96.0.11',
    destination: '10.244.2.20',
    format: (a, p) => `${a}:${p}`,
  },
  {
    family: 'v6',
    client: 'fd00:10:244:1::10',
    virtual: 'fd00:10:96::10',
    other: 'fd00:10:96::11',
    destination: 'fd00:10:244:2::20',
    format: (a, p) => `[${a}]:${p}`,
  },
];

const payload = Uint8Array.from({ length: 3000 }, (_, i) => (i * 7 + (i >> 8)) & 0xff);
const sizes = [1200, 1200];
const turned = { sourceMac: macNode, destinationMac: macClient };
const checksumComplete = 1 << 2; // BPF_F_TEST_SKB_CHECKSUM_COMPLETE: the kernel checks skb->csum after the run

function assertFrames(outcomes: readonly Outcome[], expected: readonly Uint8Array[], verdict = 'pass'): void {
  assert.deepEqual(
    outcomes.map((each) => each.verdict),
    expected.map(() => verdict),
  );
  for (const [i, { packet }] of outcomes.entries()) {
    assert.equal(
      Buffer.from(packet).toString('hex'),
      Buffer.from(expected[i] ?? []).toString('hex'),
      `frame ${i}`,
    );
  }
}

suite('fragments', { skip: missingForBpf() ?? false }, () => {
  for (const { family, client, virtual, other, destination, format } of rows) {
    const end = { source: client, sourcePort: 40000, destination: virtual, destinationPort: 80, payload };
    for (const protocol of ['udp', 'tcp'] as const) {
      const request: PacketDescription = { ...end, protocol, flags: 'S' };
      const translated = { ...request, destination, destinationPort: 8080 };
      const reply: PacketDescription = {
        source: destination,
        sourcePort: 8080,
        destination: client,
        destinationPort: 40000,
        protocol,
        flags: 'SA',
        payload,
      };
      const plane = () => {
        const made = TestPlane.reuse();
        made.serve(protocol, format(virtual, 80), [format(destination, 8080)]);
        return made;
      };

      test(`${family} ${protocol} masq: a request in three fragments → each translated, counted, and the datagram forgotten`, () => {
        using it = plane();
        const outcomes = fragmentsOf(buildPacket(request), sizes).map((each) => it.ingress(each));
        assertFrames(outcomes, fragmentsOf(buildPacket(translated), sizes));
        assert.equal(it.plane.programs.maps.get('fragments').keys().next().done, true);
        const [destinationView] = it.plane.view.services()[0]?.destinations ?? [];
        assert.equal(destinationView?.statistics.inPackets, 3n);
      });

      test(`${family} ${protocol} masq: a reply in three fragments at egress → each comes from the virtual address`, () => {
        using it = plane();
        it.ingress(buildPacket(request));
        const outcomes = fragmentsOf(buildPacket(reply), sizes).map((each) => it.egress(each));
        assertFrames(
          outcomes,
          fragmentsOf(buildPacket({ ...reply, source: virtual, sourcePort: 80 }), sizes),
        );
      });

      test(`${family} ${protocol} masq: a hairpin in three fragments, both ways → each turned round`, () => {
        using it = TestPlane.reuse();
        it.serve(protocol, format(virtual, 80), [format(client, 8080)]);
        const there = fragmentsOf(buildPacket(request), sizes, 1).map((each) => it.ingress(each));
        const met = { ...request, source: virtual, destination: client, destinationPort: 8080, ...turned };
        assertFrames(there, fragmentsOf(buildPacket(met), sizes, 1), 'redirect');
        const back = { ...reply, source: client, destination: virtual };
        const answers = fragmentsOf(buildPacket(back), sizes, 2).map((each) => it.ingress(each));
        const seen = { ...back, source: virtual, sourcePort: 80, destination: client, ...turned };
        assertFrames(answers, fragmentsOf(buildPacket(seen), sizes, 2), 'redirect');
      });

      test(`${family} ${protocol} masq: fragments that the device summed (CHECKSUM_COMPLETE) → sums stay right`, () => {
        using it = plane();
        const outcomes = fragmentsOf(buildPacket(request), sizes).map((each) =>
          it.ingress(each, checksumComplete),
        );
        assertFrames(outcomes, fragmentsOf(buildPacket(translated), sizes));
      });

      test(`${family} ${protocol} masq: the last fragments in another order → each translated`, () => {
        using it = plane();
        const order = [0, 2, 1];
        const pick = (frames: readonly Uint8Array[]) => order.map((i) => frames[i] ?? new Uint8Array());
        const outcomes = pick(fragmentsOf(buildPacket(request), sizes)).map((each) => it.ingress(each));
        assertFrames(outcomes, pick(fragmentsOf(buildPacket(translated), sizes)));
      });

      test(`${family} ${protocol}: later fragments before the first → dropped and counted, the first one translated`, () => {
        using it = plane();
        const [first, ...later] = fragmentsOf(buildPacket(request), sizes);
        assert.deepEqual(
          later.map((each) => it.ingress(each).verdict),
          ['drop', 'drop'],
        );
        assert.equal(it.reason('dropped_fragment_orphan'), 2n);
        assertFrames(
          [it.ingress(first ?? new Uint8Array())],
          fragmentsOf(buildPacket(translated), sizes).slice(0, 1),
        );
      });

      test(`${family} ${protocol}: fragments of a reply to nobody's connection → untouched`, () => {
        using it = plane();
        const frames = fragmentsOf(buildPacket(reply), sizes);
        assertFrames(
          frames.map((each) => it.egress(each)),
          frames,
        );
      });

      test(`${family} ${protocol}: a datagram of an identification that came before → follows its own first fragment`, () => {
        using it = plane();
        it.serve(protocol, format(other, 80), [format(destination, 9090)]);
        const [unfinished] = fragmentsOf(buildPacket(request), sizes);
        it.ingress(unfinished ?? new Uint8Array());
        const again = { ...request, sourcePort: 40001 };
        const outcomes = fragmentsOf(buildPacket(again), sizes).map((each) => it.ingress(each));
        assertFrames(outcomes, fragmentsOf(buildPacket({ ...translated, sourcePort: 40001 }), sizes));
      });

      test(`${family} ${protocol}: a fragment that overlaps what came before → dropped and counted`, () => {
        using it = plane();
        const whole = buildPacket(request);
        const frames = fragmentsOf(whole, sizes);
        it.ingress(frames[0] ?? new Uint8Array());
        const bytes = new Uint8Array(64);
        for (const offset of [8, 16, 1192]) {
          const overlap = fragmentOf(whole, { offset, payload: bytes, isLast: false });
          assert.equal(it.ingress(overlap).verdict, 'drop', `at ${offset}`);
        }
        it.ingress(frames[1] ?? new Uint8Array());
        assert.equal(it.ingress(frames[1] ?? new Uint8Array()).verdict, 'drop');
        assert.equal(it.reason('dropped_fragment_overlap'), 4n);
      });

      test(`${family} ${protocol}: a fragment 30 seconds behind its first one → dropped and counted`, () => {
        using it = plane();
        const [first, second] = fragmentsOf(buildPacket(request), sizes);
        it.ingress(first ?? new Uint8Array());
        it.advance(30.1);
        assert.equal(it.ingress(second ?? new Uint8Array()).verdict, 'drop');
        assert.equal(it.reason('dropped_fragment_orphan'), 1n);
      });
    }

    const request: PacketDescription = { ...end, protocol: 'udp' };

    test(`${family} udp: a service without destinations → its first fragment is rejected, the others are dropped`, () => {
      using it = TestPlane.reuse();
      it.serve('udp', format(virtual, 80), []);
      const verdicts = fragmentsOf(buildPacket(request), sizes).map((each) => it.ingress(each).verdict);
      assert.deepEqual(verdicts, ['redirect', 'drop', 'drop']);
      assert.equal(it.reason('rejected_no_destination'), 1n);
      assert.equal(it.reason('dropped_fragment_orphan'), 2n);
    });

    test(`${family} udp: fragments to a port where no service is → the first one untouched`, () => {
      using it = TestPlane.reuse();
      it.serve('udp', format(virtual, 80), [format(destination, 8080)]);
      const [first] = fragmentsOf(buildPacket({ ...request, destinationPort: 81 }), sizes);
      assertFrames([it.ingress(first ?? new Uint8Array())], [first ?? new Uint8Array()]);
    });

    test(`${family}: fragments that no honest sender makes → dropped and counted`, () => {
      using it = TestPlane.reuse();
      it.serve('tcp', format(virtual, 80), [format(destination, 8080)]);
      it.serve('udp', format(virtual, 80), [format(destination, 8080)]);
      const tcp = buildPacket({ ...end, protocol: 'tcp', flags: 'S' });
      const udp = buildPacket({ ...end, protocol: 'udp' });
      const bytes = new Uint8Array(64);
      const frames = {
        'a TCP header in two': fragmentsOf(tcp, [16])[0],
        'a UDP header in two': fragmentOf(udp, { offset: 0, payload: bytes.slice(0, 4), isLast: false }),
        'not a multiple of 8 bytes': fragmentsOf(udp, [1201])[0],
      };
      for (const [title, frame] of Object.entries(frames)) {
        assert.equal(it.ingress(frame ?? new Uint8Array()).verdict, 'drop', title);
      }
      it.ingress(fragmentsOf(udp, sizes)[0] ?? new Uint8Array());
      const later = {
        'beyond the longest datagram': fragmentOf(udp, { offset: 65_528, payload: bytes, isLast: true }),
        'not a multiple of 8 bytes, not the last': fragmentOf(udp, {
          offset: 1200,
          payload: bytes.slice(0, 9),
          isLast: false,
        }),
        empty: fragmentOf(udp, { offset: 1200, payload: new Uint8Array(), isLast: true }),
      };
      for (const [title, frame] of Object.entries(later))
        assert.equal(it.ingress(frame).verdict, 'drop', title);
      assert.equal(it.reason('dropped_fragment_malformed'), 6n);
    });

    test(`${family} sctp: an INIT in fragments whose port would change → dropped, and it begins no connection`, () => {
      using it = TestPlane.reuse();
      it.serve('sctp', format(virtual, 80), [format(destination, 8080)]);
      const init: PacketDescription = { ...end, protocol: 'sctp', flags: 'INIT' };
      for (const fragment of fragmentsOf(buildPacket(init), sizes))
        assert.equal(it.ingress(fragment).verdict, 'drop');
      assert.equal(it.reason('dropped_rewrite_failed'), 1n);
      assert.deepEqual([...it.plane.connections()], []);
    });

    test(`${family} udp: the connection ended since → what follows is dropped and counted`, () => {
      using it = new TestPlane();
      it.serve('udp', format(virtual, 80), [format(destination, 8080)]);
      const [first, second] = fragmentsOf(buildPacket(request), sizes);
      it.ingress(first ?? new Uint8Array());
      const connections = it.plane.programs.maps.get('connections');
      const key = new Uint8Array(4);
      const value = connections.lookup(key);
      assert.ok(value);
      connections.update(key, new Uint8Array(value.length));
      assert.equal(it.ingress(second ?? new Uint8Array()).verdict, 'drop');
      assert.equal(it.reason('dropped_fragment_orphan'), 1n);
    });
  }

  test('v6 udp: extension headers before and behind the fragment header → stay, and the ports are rewritten', () => {
    const [, row] = rows;
    assert.ok(row);
    using it = TestPlane.reuse();
    it.serve('udp', row.format(row.virtual, 80), [row.format(row.destination, 8080)]);
    const padding = (size: number) => {
      const bytes = new Uint8Array(size);
      bytes.set([0, size / 8 - 1, 1, size - 4]);
      return bytes;
    };
    const frames = (description: PacketDescription) => {
      const whole = withExtensions(buildPacket(description), {
        number: extension.destination,
        bytes: padding(16),
      });
      return fragmentsOf(whole, sizes).map((each) =>
        withExtensions(each, { number: extension.hopByHop, bytes: padding(8) }),
      );
    };
    const request: PacketDescription = {
      source: row.client,
      sourcePort: 40000,
      destination: row.virtual,
      destinationPort: 80,
      protocol: 'udp',
      payload,
    };
    const outcomes = frames(request).map((each) => it.ingress(each));
    assertFrames(outcomes, frames({ ...request, destination: row.destination, destinationPort: 8080 }));
  });
});
