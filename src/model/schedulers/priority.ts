// SPDX-License-Identifier: Apache-2.0
// Schedulers that take the destination of the highest weight: fo, ovf (ip_vs_fo.c, ip_vs_ovf.c).
import { isUsable, type Member, type Scheduled, type Scheduler } from './scheduler.ts';

/** The earliest of the highest weight. */
function highestWeight<M extends Member>(list: readonly M[]): M | undefined {
  let best: M | undefined;
  for (const member of list) if (!best || member.weight > best.weight) best = member;
  return best;
}

export class Failover<M extends Member> implements Scheduler<M> {
  pick({ destinations }: Scheduled<M>): M | undefined {
    return highestWeight(destinations.filter(isUsable));
  }
}

/** The next one gets connections when one has more active ones than its weight says. */
export class Overflow<M extends Member> implements Scheduler<M> {
  pick({ destinations }: Scheduled<M>): M | undefined {
    const withRoom = destinations.filter((member) => member.activeConnections <= member.weight);
    return highestWeight(withRoom.filter(isUsable));
  }
}
