// SPDX-License-Identifier: Apache-2.0
// A service of three destinations for tests of the schedulers' models: A, B and C, added in this order.
import type { SchedulerFlag, SchedulerName } from '../../src/model/scheduler.ts';
import type { SchedulerEnvironment } from '../../src/model/schedulers/scheduler.ts';
import { ServiceModel } from '../../src/model/schedulers/service-model.ts';

export const letters = 'ABC';

/** A service of A, B and C, added in this order with these weights. */
export function service(
  scheduler: SchedulerName,
  weights: readonly number[],
  flags: readonly SchedulerFlag[] = [],
  environment: Partial<SchedulerEnvironment> = {},
): ServiceModel {
  const model = new ServiceModel({ scheduler, schedulerFlags: flags }, environment);
  for (const [n, weight] of weights.entries()) model.add(member(n, weight));
  return model;
}

export function member(n: number, weight: number, upperThreshold = 0, lowerThreshold = 0) {
  return { address: `10.0.1.${n + 1}`, port: 80, weight, upperThreshold, lowerThreshold };
}

/** The letter of whom a client's new connection goes to, "-" for no one. */
export function pick(
  model: ServiceModel,
  source = '10.0.0.1',
  sourcePort = 1024,
  destination = '10.96.0.1',
): string {
  const found = model.pick({ source, sourcePort, destination });
  return found ? letterOf(found) : '-';
}

export function letterOf({ address }: { readonly address: string }): string {
  return letters[Number(address.split('.')[3]) - 1] ?? '';
}

export function picks(model: ServiceModel, times: number): string {
  return Array.from({ length: times }, () => pick(model)).join('');
}

/** Gives a destination so many connections, of which so many are active. */
export function load(model: ServiceModel, n: number, active: number, inactive = 0): void {
  const destination = model.destination(member(n, 0));
  for (let i = 0; i < active + inactive; i++) destination?.bindConnection();
  for (let i = 0; i < active; i++) destination?.activateConnection();
}
