// SPDX-License-Identifier: Apache-2.0
// Every scheduler of the kernel by its name.
import type { SchedulerName } from '../scheduler.ts';
import { DestinationHashing } from './dh.ts';
import { LocalityLeastConnection } from './lblc.ts';
import { ReplicatedLocalityLeastConnection } from './lblcr.ts';
import { LeastConnection, NeverQueue, ShortestExpectedDelay, WeightedLeastConnection } from './load.ts';
import { MaglevHashing } from './mh.ts';
import { Failover, Overflow } from './priority.ts';
import { RoundRobin } from './rr.ts';
import type { Member, Scheduler, SchedulerEnvironment } from './scheduler.ts';
import { SourceHashing } from './sh.ts';
import { PowerOfTwoChoices } from './twos.ts';
import { WeightedRoundRobin } from './wrr.ts';

/** A scheduler for one service; `bind` has to be called before anything else. */
export function createScheduler<M extends Member>(
  name: SchedulerName,
  environment: SchedulerEnvironment,
): Scheduler<M> {
  switch (name) {
    case 'rr':
      return new RoundRobin();
    case 'wrr':
      return new WeightedRoundRobin();
    case 'lc':
      return new LeastConnection(environment.profile);
    case 'wlc':
      return new WeightedLeastConnection(environment.profile);
    case 'lblc':
      return new LocalityLeastConnection(environment);
    case 'lblcr':
      return new ReplicatedLocalityLeastConnection(environment);
    case 'dh':
      return new DestinationHashing();
    case 'sh':
      return new SourceHashing();
    case 'sed':
      return new ShortestExpectedDelay();
    case 'nq':
      return new NeverQueue();
    case 'mh':
      return new MaglevHashing();
    case 'fo':
      return new Failover();
    case 'ovf':
      return new Overflow();
    case 'twos':
      return new PowerOfTwoChoices(environment);
  }
}
