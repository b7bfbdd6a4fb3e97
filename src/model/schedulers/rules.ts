// SPDX-License-Identifier: Apache-2.0
// Each scheduler's rule in a few words, for people.
import type { SchedulerName } from '../scheduler.ts';

/** What follows "goes to": said of the destination that a new connection gets. */
export const schedulerRules: Readonly<Record<SchedulerName, string>> = {
  rr: 'the next in turn',
  wrr: 'the next in turn, where each has as many turns as its weight',
  lc: 'the one with the least load; an active connection weighs 256 times an inactive one',
  wlc: 'the one with the least load for its weight; an active connection weighs 256 times an inactive one',
  lblc: 'the one that went there before for this address, unless it is too full; else as wlc',
  lblcr: 'the least loaded of those that this address has, unless it is too full; else as wlc',
  dh: 'the one in the place that the address asked for is hashed to',
  sh: 'the one in the place that the client is hashed to',
  sed: 'the one with the fewest active connections for its weight, one more counted',
  nq: 'the first one without active connections; else as sed',
  mh: 'the one in the place that the client is hashed to',
  fo: 'the one with the highest weight',
  ovf: 'the one with the highest weight that has no more active connections than that',
  twos: 'the less loaded of two that are drawn by weight: the next packet may draw others',
};
