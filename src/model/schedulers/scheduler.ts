// SPDX-License-Identifier: Apache-2.0
// What all schedulers have in common: what they see of a service and of a packet, and what they are asked.
import type { Address } from '../address.ts';
import type { SchedulerFlag } from '../scheduler.ts';

/** A destination as a scheduler sees it. */
export interface Member {
  readonly address: Address;
  /** Host order. */
  readonly port: number;
  /** 0..2147483647; 0 gets no new connections. */
  readonly weight: number;
  /** The weight it was added with, or the last one since then that was not 0. */
  readonly lastWeight: number;
  readonly activeConnections: number;
  /** Active and inactive ones. */
  readonly totalConnections: number;
  /** It reached its upper threshold and is not below the lower one yet. */
  readonly isOverloaded: boolean;
  /** It is a destination of the service; a cache may know one that was deleted. */
  readonly isAvailable: boolean;
}

/** A service as its scheduler sees it. */
export interface Scheduled<M extends Member = Member> {
  /** Newest first: the kernel adds at the head of its list. */
  readonly destinations: readonly M[];
  readonly schedulerFlags: readonly SchedulerFlag[];
}

/** The packet that a new connection begins with. */
export interface Request {
  readonly source: Address;
  /** Host order; 0 for protocols without ports. */
  readonly sourcePort: number;
  /** Where the client sent it: the service's address, or one of many of a firewall-mark service. */
  readonly destination: Address;
}

/**
 * One service's scheduler with its state. Hooks are called after the list has changed; one that is not there means that the
 * scheduler does nothing at that event.
 */
export interface Scheduler<M extends Member = Member> {
  /** The service got this scheduler. Throws RangeError if it cannot serve the list. */
  bind?(service: Scheduled<M>): void;
  destinationAdded?(service: Scheduled<M>, added: M): void;
  destinationEdited?(service: Scheduled<M>, edited: M): void;
  /** @param place in the list where it was */
  destinationDeleted?(service: Scheduled<M>, deleted: M, place: number): void;
  /** Whom a new connection goes to; undefined: to no one. */
  pick(service: Scheduled<M>, request: Request): M | undefined;
  /** To be called every 60 seconds. */
  housekeep?(): void;
}

/** Arithmetic of kernels before and after the changes of 2026: up to 6.1.186 and 6.12.94, and later ones. */
export const versionProfiles = ['classic', 'recent'] as const;

export type VersionProfile = (typeof versionProfiles)[number];

/** What schedulers need besides the service. */
export interface SchedulerEnvironment {
  readonly profile: VersionProfile;
  /** Seconds of a clock that never goes back. */
  readonly now: () => number;
  /** A random integer in 0..`highest`, each as likely as the others. */
  readonly random: (highest: number) => number;
  /** Sysctl lblc_expiration. */
  readonly lblcExpirationSeconds: number;
  /** Sysctl lblcr_expiration. */
  readonly lblcrExpirationSeconds: number;
}

/** Whether new connections may go to the member. */
export function isUsable(member: Member): boolean {
  return member.isAvailable && !member.isOverloaded && member.weight > 0;
}

/** The member if new connections may go to it. */
export function usable<M extends Member>(member: M | undefined): M | undefined {
  return member && isUsable(member) ? member : undefined;
}

/** The greatest common divisor of all that are not 0; 0 if none is. */
export function greatestCommonDivisor(numbers: readonly number[]): number {
  const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b));
  return numbers.reduce(gcd, 0);
}
