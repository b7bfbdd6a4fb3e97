// SPDX-License-Identifier: Apache-2.0
// What is particular to SCTP: its chunks, its states, its checksum.
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { extension, withExtensions } from '../lib/fragments.ts';
import { buildPacket, type PacketDescription } from '../lib/packet.ts';
import { missingForBpf, TestPlane } from '../lib/plane.ts';
import { Random } from '../lib/random.ts';
import { chunkTypes, crc32cRemainder, crc32cSuffix, sctpChecksum, sctpChecksumOffset } from '../lib/sctp.ts';
import { client, connections, counts, serve, server, states, Talk, virtual } from '../lib/talk.ts';
import { readWire } from '../lib/wire.ts';

const transport = 34;
const anyPayload = new TextEncoder().encode('any five');
const sctp = { protocol: 'sctp' } as const;

function start(plane: TestPlane): Talk {
  serve(plane, [server], 'sctp');
  return new Talk(plane, sctp);
}

suite('SCTP', { skip: missingForBpf() ?? false }, () => {
  test('an association is active while it is established, and each state has its timeout', () => {
    using plane = TestPlane.reuse();
    const talk = start(plane);
    const seen: [string, number, number][] = [];
    for (const step of [
      () => talk.client('INIT'),
      () => talk.server('INIT-ACK'),
      () => talk.client('COOKIE-ECHO DATA'),
      () => talk.server('COOKIE-ACK'),
      () => talk.client('DATA'),
      () => talk.server('SHUTDOWN'),
      () => talk.client('SHUTDOWN-ACK'),
    ]) {
      step();
      const [connection] = connections(plane);
      assert.ok(connection);
      seen.push([connection.state, connection.expiresInMs / 1000, counts(plane)[0]]);
    }
    assert.deepEqual(seen, [
      ['INIT1', 4, 0],
      ['C-SENT', 61, 0],
      ['C-REPLIED', 61, 0],
      ['ESTABLISHED', 900, 1],
      ['ESTABLISHED', 900, 1],
      ['S-SENT', 61, 0],
      ['CLOSED', 61, 0],
    ]);
    plane.advance(61);
    assert.deepEqual(states(plane), []);
    assert.deepEqual(counts(plane), [0, 0]);
  });

  test('an INIT that is sent again stays with its destination; on a closed association it begins a new one', () => {
    using plane = TestPlane.reuse();
    serve(plane, ['10.244.2.20', '10.244.2.21'], 'sctp');
    const talk = new Talk(plane, sctp);
    const first = talk.to('INIT');
    assert.equal(talk.to('INIT'), first);
    assert.deepEqual(states(plane), ['INIT']);
    talk.client('ABORT');
    assert.deepEqual(states(plane), ['CLOSED']);
    assert.notEqual(talk.to('INIT'), first);
    assert.deepEqual(states(plane), ['INIT1']);
  });

  for (const chunk of Object.keys(chunkTypes).filter((name) => name !== 'INIT')) {
    test(`v4 sctp: ${chunk} without a connection → untouched`, () => {
      using plane = TestPlane.reuse();
      assert.equal(start(plane).to(chunk), 'untouched');
    });
  }

  for (const [chunks, state] of [
    ['COOKIE-ECHO DATA', 'C-REPLIED'],
    ['COOKIE-ECHO ABORT', 'CLOSED'],
    ['COOKIE-ECHO DATA ABORT', 'C-REPLIED'],
    ['SACK ABORT', 'C-SENT'],
    ['ABORT', 'CLOSED'],
    ['200', 'C-SENT'],
  ] as const) {
    for (const wayIn of ['tc', 'xdp and tc'] as const) {
      test(`v4 sctp: ${chunks} after INIT and INIT-ACK, by ${wayIn} → ${state}`, () => {
        using plane = TestPlane.reuse({ wayIn });
        const talk = start(plane);
        talk.client('INIT');
        talk.server('INIT-ACK');
        talk.client(chunks);
        assert.deepEqual(states(plane), [state]);
      });
    }
  }

  test('v4 sctp: COOKIE-ACK ABORT from the destination, in answer to an INIT → REJECTED', () => {
    using plane = TestPlane.reuse();
    const talk = start(plane);
    talk.client('INIT');
    talk.server('COOKIE-ACK ABORT');
    assert.deepEqual(states(plane), ['REJECTED']);
  });

  test('v4 sctp: an ABORT in the padding of the frame, behind the packet → does not count', () => {
    using plane = TestPlane.reuse();
    const talk = start(plane);
    talk.client('INIT');
    talk.server('INIT-ACK');
    const padding = Uint8Array.of(chunkTypes.ABORT ?? 0, 0, 0, 4);
    plane.ingress(Buffer.concat([buildPacket({ ...talk.request, flags: 'COOKIE-ECHO' }), padding]));
    assert.deepEqual(states(plane), ['C-REPLIED']);
  });

  test('v4 sctp: a packet without a chunk → untouched and counted', () => {
    using plane = TestPlane.reuse();
    const talk = start(plane).establish();
    const frame = Buffer.from(buildPacket({ ...talk.request, flags: 'DATA' })).subarray(0, transport + 12);
    frame.writeUInt16BE(32, 16);
    const outcome = plane.ingress(frame);
    assert.deepEqual([outcome.verdict, Buffer.from(outcome.packet)], ['pass', frame]);
    assert.equal(plane.reason('passed_malformed'), 1n);
  });

  test('v6 sctp: an INIT behind an extension header → translated, the header stays', () => {
    using plane = TestPlane.reuse();
    plane.serve('sctp', '[fd00:10:96::10]:80', ['[fd00:10:244:2::20]:8080']);
    const request: PacketDescription = {
      ...sctp,
      source: 'fd00:10:244:1::10',
      sourcePort: 40000,
      destination: 'fd00:10:96::10',
      destinationPort: 80,
      flags: 'INIT',
    };
    const options = { number: extension.hopByHop, bytes: Uint8Array.of(0, 0, 1, 4, 0, 0, 0, 0) };
    const extended = (packet: PacketDescription) => withExtensions(buildPacket(packet), options);
    const { packet } = plane.ingress(extended(request));
    const wanted = { ...request, destination: 'fd00:10:244:2::20', destinationPort: 8080 };
    assert.deepEqual(Buffer.from(packet), Buffer.from(extended(wanted)));
  });

  test('v4 sctp: an INIT that names more addresses of its sender → they stay as they are', () => {
    using plane = TestPlane.reuse();
    const talk = start(plane);
    const fixed = Buffer.from('11223344000100000010001000000001', 'hex');
    const addresses = Buffer.from(
      `${'0005'}${'0008'}0af4010b${'0006'}${'0014'}fd000010024400010000000000000011`,
      'hex',
    );
    const payload = Buffer.concat([fixed, addresses]);
    const request = { ...talk.request, flags: 'INIT', payload };
    const wanted = buildPacket({ ...request, destination: server, destinationPort: 8080 });
    assert.deepEqual(Buffer.from(talk.client('INIT', payload).packet), Buffer.from(wanted));
  });

  test('v4, v6 sctp: ports and lengths at random → the checksum is right, and a wrong one stays wrong', () => {
    const random = new Random(20_261_121);
    using plane = TestPlane.reuse();
    for (let n = 0; n < 400; n++) {
      const isIpv4 = random.once(2);
      const [from, to, at] = isIpv4
        ? [client, '10.96.0.11', '10.244.2.20']
        : ['fd00:10:244:1::10', 'fd00:10:96::11', 'fd00:10:244:2::20'];
      const [virtualPort, port] = [1 + random.below(65535), 1 + random.below(65535)];
      const format = (address: string, port: number) =>
        isIpv4 ? `${address}:${port}` : `[${address}]:${port}`;
      const service = plane.serve('sctp', format(to, virtualPort), [format(at, port)]);
      const frame = Buffer.from(
        buildPacket({
          ...sctp,
          source: from,
          sourcePort: 1024 + random.below(60000),
          destination: to,
          destinationPort: virtualPort,
          flags: 'INIT',
          payload: Uint8Array.from({ length: random.below(1400) }, () => random.below(256)),
        }),
      );
      const isWrong = random.once(4);
      if (isWrong) frame[frame.length - 1] = (frame[frame.length - 1] ?? 0) ^ 1;
      const wire = readWire(Buffer.from(plane.ingress(frame).packet));
      assert.equal(wire?.destinationPort, port);
      assert.equal(wire.transportChecksum, isWrong ? 'wrong' : 'right');
      plane.apply({ do: 'delete-service', service });
    }
  });

  test('v4 sctp: a checksum that rightly is zero → is taken for one, not for one still to be filled in', () => {
    using plane = TestPlane.reuse();
    start(plane);
    const request: PacketDescription = {
      ...sctp,
      source: client,
      sourcePort: 40000,
      destination: virtual,
      destinationPort: 80,
      flags: 'INIT',
      payload: anyPayload,
    };
    const draft = Buffer.from(buildPacket(request)).subarray(transport);
    draft.writeUInt32LE(0, sctpChecksumOffset);
    draft.writeUInt16BE(16, 14); // the length of the chunk, with the suffix
    const suffix = crc32cSuffix(crc32cRemainder(draft, 0xffff_ffff), 0xffff_ffff);
    const payload = Buffer.concat([anyPayload, suffix]);
    const frame = Buffer.from(buildPacket({ ...request, payload }));
    assert.equal(frame.readUInt32LE(transport + sctpChecksumOffset), 0);
    const { packet } = plane.ingress(frame);
    const wanted = buildPacket({ ...request, payload, destination: server, destinationPort: 8080 });
    assert.deepEqual(Buffer.from(packet), Buffer.from(wanted));
    assert.notEqual(sctpChecksum(packet.subarray(transport)), 0);
  });
});
