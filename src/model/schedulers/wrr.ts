// SPDX-License-Identifier: Apache-2.0
// Weighted round robin (ip_vs_wrr.c): passes over the list, each for those of at least the pass's weight.
import { greatestCommonDivisor, type Member, type Scheduled, type Scheduler } from './scheduler.ts';

/** The kernel's di and mw, which follow from the weights alone. */
export interface WrrSteps {
  /** From one pass to the next. */
  readonly step: number;
  /** Of the first pass. */
  readonly highest: number;
}

export function wrrSteps(list: readonly { readonly weight: number }[]): WrrSteps {
  const weights = list.map(({ weight }) => weight);
  const step = greatestCommonDivisor(weights) || 1;
  const highest = weights.reduce((a, b) => Math.max(a, b), 0);
  return { step, highest: highest - (step - 1) };
}

/** The weight of the pass that goes on when the list has changed (ip_vs_wrr.c: ip_vs_wrr_dest_changed). */
export function wrrWeightAfterChange(current: number, { step, highest }: WrrSteps): number {
  if (current > highest || current === 0) return highest;
  return step > 1 ? Math.floor(current / step) * step + 1 : current;
}

export class WeightedRoundRobin<M extends Member> implements Scheduler<M> {
  /** Place of the one chosen last; -1 is the head of the list, before its first member. */
  #last = -1;
  #steps: WrrSteps = { step: 1, highest: 0 };
  #weight = 0;

  bind({ destinations }: Scheduled<M>): void {
    this.#steps = wrrSteps(destinations);
    this.#weight = this.#steps.highest;
    this.#last = -1;
  }

  destinationAdded(service: Scheduled<M>): void {
    this.#listChanged(service);
  }

  destinationEdited(service: Scheduled<M>): void {
    this.#listChanged(service);
  }

  destinationDeleted(service: Scheduled<M>): void {
    this.#listChanged(service);
  }

  #listChanged({ destinations }: Scheduled<M>): void {
    this.#steps = wrrSteps(destinations);
    this.#weight = wrrWeightAfterChange(this.#weight, this.#steps);
    this.#last = -1;
  }

  pick({ destinations }: Scheduled<M>): M | undefined {
    const { step, highest } = this.#steps;
    if (highest === 0) return undefined;
    const start = this.#last;
    let isLastPass = false;
    let hasRestarted = false;
    let stop: number | undefined;
    for (let place = start; ; place = -1) {
      while (++place < destinations.length) {
        const member = destinations[place];
        const isChosen = member && !member.isOverloaded && member.weight >= this.#weight;
        if (isChosen || place === stop) {
          this.#last = place;
          return isChosen ? member : undefined;
        }
      }
      this.#weight -= step;
      if (this.#weight <= 0) {
        this.#weight = highest;
        if (isLastPass || start === -1) {
          this.#last = -1;
          return undefined;
        }
        hasRestarted = true;
      }
      isLastPass = this.#weight <= step;
      if (isLastPass && hasRestarted) stop = start;
    }
  }
}
