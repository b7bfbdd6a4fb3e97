// SPDX-License-Identifier: Apache-2.0
// What goes wrong with requests to an API server.
import { BpvsError } from '../errors.ts';

/** A request that the API server answered with a refusal, or with something that is no answer. */
export class ApiError extends BpvsError {
  /** The status of HTTP, or the code of a Status object in a watch. */
  readonly status: number;
  /** "Expired", "Forbidden"; empty where the answer gives none. */
  readonly reason: string;
  /** How long the server wants to be left alone; undefined where it does not say. */
  readonly retryAfterMs: number | undefined;

  constructor(status: number, reason: string, message: string, retryAfterMs?: number) {
    super('BPVS_API', message);
    this.status = status;
    this.reason = reason;
    this.retryAfterMs = retryAfterMs;
  }

  /** What was asked for from this resource version on is not there any more. */
  get isExpired(): boolean {
    return this.status === 410 || this.reason === 'Expired' || this.reason === 'Gone';
  }
}

/** The server said nothing for too long. */
export class ApiSilence extends BpvsError {
  constructor(what: string, ms: number) {
    super('BPVS_API_SILENCE', `${what}: no answer for ${ms / 1000} s`);
  }
}
