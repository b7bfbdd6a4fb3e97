// SPDX-License-Identifier: Apache-2.0
// Templates and what their destinations become: thresholds in both profiles, services that are deleted and come back.
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { missingForBpf, socketAddress, TestPlane } from '../lib/plane.ts';
import { connections, counts, other, server, Talk, virtual } from '../lib/talk.ts';

const udpSeconds = 41;
const templateSeconds = 100;
const persistence = { timeoutSeconds: templateSeconds, prefixLength: 32 };
const timeouts = { tcpSeconds: 900, tcpFinSeconds: 120, udpSeconds };

suite('templates', { skip: missingForBpf() ?? false }, () => {
  for (const ipvsProfile of ['classic', 'recent'] as const) {
    const isClassic = ipvsProfile === 'classic';
    const when = isClassic ? "a template's end" : 'the edit itself';

    test(`${ipvsProfile}: a lower threshold that was raised above the number of connections takes effect by ${when}`, () => {
      using plane = TestPlane.reuse({ ipvsProfile, timeouts });
      const service = plane.serve('udp', `${virtual}:80`, [`${server}:8080`], { persistence });
      const edit = (lowerThreshold: number) =>
        plane.apply({
          do: 'edit-destination',
          service,
          destination: {
            ...socketAddress(`${server}:8080`),
            ...{ weight: 1, forwarding: 'masq', upperThreshold: 2, lowerThreshold },
          },
        });
      edit(1);
      const talk = (n: number) => new Talk(plane, { client: `10.244.1.${n}`, protocol: 'udp' });
      const [stays, goes, waits] = [talk(1), talk(2), talk(3)];
      for (const each of [stays, goes]) assert.equal(each.to(''), `${server}:8080`);
      assert.equal(waits.to(''), 'redirect', 'two connections are as many as it may have');
      plane.advance(udpSeconds - 1);
      assert.equal(stays.to(''), `${server}:8080`);
      plane.advance(2);
      assert.deepEqual(counts(plane), [0, 1]);
      assert.equal(waits.to(''), 'redirect', 'one is not below the lower threshold');
      edit(2);
      assert.equal(waits.to(''), isClassic ? 'redirect' : `${server}:8080`);
      if (!isClassic) return;
      for (let second = udpSeconds + 1; second < templateSeconds; second += 10) {
        assert.equal(stays.to(''), `${server}:8080`);
        assert.equal(waits.to(''), 'redirect', `after ${second} s both templates are there`);
        plane.advance(10);
      }
      assert.equal(connections(plane).filter(({ isTemplate }) => isTemplate).length, 1);
      assert.equal(waits.to(''), `${server}:8080`);
    });
  }

  /* ip_vs_ctl.c: __ip_vs_update_dest; seen of Linux 6.1.170 and 6.12.117, as is the next. */
  test('a service that is deleted and comes back finds its destinations in the trash, and clients stay at theirs', () => {
    using plane = TestPlane.reuse({ timeouts });
    const destinations = [`${server}:8080`, `${other}:8080`];
    const serve = () => plane.serve('udp', `${virtual}:80`, destinations, { persistence });
    const key = serve();
    const to = (n: number, port: number) =>
      new Talk(plane, { client: `10.244.1.${n}`, port, protocol: 'udp' }).to('');
    const chosen = to(1, 40001);
    plane.apply({ do: 'delete-service', service: key });
    assert.equal(to(1, 40002), 'untouched');
    serve();
    assert.equal(to(2, 40003), chosen, 'its scheduler begins anew');
    assert.equal(to(1, 40004), chosen);
    assert.equal(to(1, 40005), chosen);
    assert.notEqual(to(3, 40006), chosen);
  });

  test("the service of all ports and FTP's at one address have a client's template in common", () => {
    using plane = TestPlane.reuse({ timeouts });
    plane.serve('tcp', `${virtual}:21`, [`${server}:21`], { persistence });
    plane.serve('tcp', `${virtual}:0`, [`${other}:0`], { persistence });
    const to = (n: number, virtualPort: number) =>
      new Talk(plane, { client: `10.244.1.${n}`, port: 40000 + virtualPort, virtualPort }).to('S');
    for (const port of [21, 2000, 443]) assert.equal(to(1, port), `${server}:${port}`);
    for (const port of [443, 21]) assert.equal(to(2, port), `${other}:${port}`);
  });
});
