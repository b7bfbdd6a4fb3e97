// SPDX-License-Identifier: Apache-2.0
// Power of two choices (ip_vs_twos.c): the less loaded of two that are drawn by weight.
import { overhead } from './load.ts';
import {
  isUsable,
  type Member,
  type Scheduled,
  type Scheduler,
  type SchedulerEnvironment,
} from './scheduler.ts';

export class PowerOfTwoChoices<M extends Member> implements Scheduler<M> {
  readonly #environment: Pick<SchedulerEnvironment, 'profile' | 'random'>;

  constructor(environment: Pick<SchedulerEnvironment, 'profile' | 'random'>) {
    this.#environment = environment;
  }

  pick({ destinations }: Scheduled<M>): M | undefined {
    const { profile, random } = this.#environment;
    const list = destinations.filter(isUsable);
    const total = list.reduce((sum, { weight }) => sum + weight, 0);
    const [one, two] = [drawn(list, random(total)), drawn(list, random(total))];
    if (!one || !two) return undefined;
    // The kernel's products wrap at 32 bits.
    const isTwoLighter =
      Math.imul(two.weight, overhead(one, profile)) > Math.imul(one.weight, overhead(two, profile));
    return isTwoLighter ? two : one;
  }
}

/** Where the running subtraction of weights from `number` comes to 0: of 0..total, so that the first has one number more. */
function drawn<M extends Member>(list: readonly M[], number: number): M | undefined {
  let left = number;
  return list.find(({ weight }) => {
    left -= weight;
    return left <= 0;
  });
}
