// SPDX-License-Identifier: Apache-2.0
// Time as it passes: programs count the kernel's ticks, listings have a clock of their own.
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { defaultTimeouts } from '../../src/dataplane/bpf/options.ts';
import { missingForBpf, TestPlane } from '../lib/plane.ts';
import { connections, serve, Talk } from '../lib/talk.ts';
import { until } from '../lib/until.ts';

const timeoutMs = 2000;
/** The kernel's ticks, of which there are 100 in a second at least. */
const tickMs = 10;
/** The sweep sees all within two seconds, and a busy machine may be late. */
const sweepMs = 4000;

suite('the clock', { skip: missingForBpf() ?? false }, () => {
  test('a connection lives for as long as the listing says, and is gone with a sweep soon after', async () => {
    using plane = new TestPlane({ hasVirtualClock: false });
    plane.plane.setTimeouts({ ...defaultTimeouts, udpSeconds: timeoutMs / 1000 });
    serve(plane, undefined, 'udp');
    const sentMs = performance.now();
    new Talk(plane, { protocol: 'udp' }).client('');
    const openedMs = performance.now();
    const looks: Look[] = [];
    const last = await until(
      () => {
        const beforeMs = performance.now() - openedMs;
        const leftMs = connections(plane)[0]?.expiresInMs;
        looks.push({ beforeMs, afterMs: performance.now() - sentMs, leftMs });
        return looks.at(-1);
      },
      (look) => look?.leftMs === undefined,
    );
    for (const { beforeMs, afterMs, leftMs } of looks) {
      if (leftMs === undefined) continue;
      const [least, most] = [timeoutMs - afterMs - 2 * tickMs, timeoutMs - beforeMs + tickMs];
      assert(leftMs >= Math.max(least, 0), `${leftMs} ms are left after ${afterMs}`);
      assert(leftMs <= Math.min(Math.max(most, 0), timeoutMs), `${leftMs} ms are left after ${beforeMs}`);
      assert(beforeMs < timeoutMs + sweepMs, `it was still there after ${beforeMs} ms`);
    }
    assert(last?.leftMs === undefined && last, 'it never went');
    assert(last.afterMs > timeoutMs - 2 * tickMs, `it was gone after ${last.afterMs} ms`);
  });
});

/** What a listing said that was taken between two moments; nothing is left where the connection is gone. */
interface Look {
  readonly beforeMs: number;
  readonly afterMs: number;
  readonly leftMs: number | undefined;
}
