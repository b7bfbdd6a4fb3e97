// SPDX-License-Identifier: Apache-2.0
// Time as it passes: programs count the kernel's ticks, listings have a clock of their own.
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { defaultTimeouts } from '../../src/dataplane/bpf/options.ts';
import { missingForBpf, TestPlane } from '../lib/plane.ts';
import { connections, serve, Talk } from '../lib/talk.ts';
import { until } from '../lib/until.ts';

const timeoutMs = 2000;
/** Of the kernel's ticks, and of the moments between two looks. */
const slackMs = 100;
/** The sweep sees all within two seconds. */
const sweepMs = 2000;

suite('the clock', { skip: missingForBpf() ?? false }, () => {
  test('a connection lives for as long as the listing says, and no longer than to the next sweep', async () => {
    using plane = new TestPlane({ hasVirtualClock: false });
    plane.plane.setTimeouts({ ...defaultTimeouts, udpSeconds: timeoutMs / 1000 });
    serve(plane, undefined, 'udp');
    const begun = performance.now();
    new Talk(plane, { protocol: 'udp' }).client('');
    const seen: { readonly atMs: number; readonly leftMs: number }[] = [];
    const look = () => {
      const [only] = connections(plane);
      if (only) seen.push({ atMs: performance.now() - begun, leftMs: only.expiresInMs });
      return only;
    };
    await until(look, (only) => only === undefined);
    for (const { atMs, leftMs } of seen) {
      const wanted = Math.max(timeoutMs - atMs, 0);
      assert(Math.abs(leftMs - wanted) < slackMs, `${leftMs} ms are left after ${atMs}`);
      assert(leftMs <= timeoutMs, `${leftMs} ms are left, more than there ever were`);
    }
    const lastMs = seen.at(-1)?.atMs ?? 0;
    assert(lastMs > timeoutMs - slackMs, `it was gone after ${lastMs} ms`);
    assert(lastMs < timeoutMs + sweepMs + slackMs, `it was still there after ${lastMs} ms`);
  });
});
