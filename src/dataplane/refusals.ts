// SPDX-License-Identifier: Apache-2.0
// What kernel IPVS refuses for its numbers.
import { OperationError } from '../errors.ts';
import type { SchedulerName } from '../model/scheduler.ts';
import { maglevPlaces } from '../model/schedulers/mh.ts';
import type { VersionProfile } from '../model/schedulers/scheduler.ts';
import {
  type Destination,
  destinationId,
  type VirtualServiceKey,
  virtualServiceId,
} from '../model/virtual-service.ts';

const highest = 0x7fff_ffff;

/** Throws OperationError: ERANGE, EINVAL (ip_vs_ctl.c: ip_vs_add_dest, ip_vs_edit_dest). */
export function checkDestination(destination: Destination, profile: VersionProfile = 'recent'): void {
  const { weight, upperThreshold: upper = 0, lowerThreshold: lower = 0 } = destination;
  const of = `of real server ${destinationId(destination)}`;
  if (!isCount(weight, highest)) {
    throw new OperationError(
      'ERANGE',
      `Expected 0 to ${highest} for the weight ${of} but received ${weight}`,
    );
  }
  if (!isCount(upper, 0xffff_ffff) || !isCount(lower, upper)) {
    throw new OperationError(
      'ERANGE',
      `Expected a lower threshold ${of} of at most the upper one, ${upper}, but received ${lower}`,
    );
  }
  if (profile === 'recent' && upper > highest) {
    throw new OperationError(
      'EINVAL',
      `Expected at most ${highest} for the upper threshold ${of} but received ${upper}`,
    );
  }
}

/**
 * mh has no more places than that. The kernel refuses only to bind it to more (ip_vs_mh.c: ip_vs_mh_reassign); those added later it
 * accepts and never uses, which no one can want. Throws OperationError: EINVAL.
 */
export function checkServes(
  scheduler: SchedulerName,
  destinations: number,
  service: VirtualServiceKey,
): void {
  if (scheduler !== 'mh' || destinations <= maglevPlaces) return;
  throw new OperationError(
    'EINVAL',
    `Expected at most ${maglevPlaces} real servers with mh but received ${destinations}: ${virtualServiceId(service)}`,
  );
}

function isCount(number: number, most: number): boolean {
  return Number.isInteger(number) && number >= 0 && number <= most;
}
