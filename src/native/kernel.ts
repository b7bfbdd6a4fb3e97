// SPDX-License-Identifier: Apache-2.0
// The kernel that this process runs on.
import { addon } from './addon.ts';

/** Nanoseconds from one tick to the next, 1,000,000,000 / HZ: what CLOCK_MONOTONIC_COARSE resolves. Throws SystemError. */
export function tickNs(): number {
  return addon.tickNs();
}
