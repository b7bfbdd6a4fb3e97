// SPDX-License-Identifier: Apache-2.0
// A command line that cannot be carried out as it is written.
import { InputError } from '../errors.ts';

/** The message is ipvsadm's own, the status the one it exits with. */
export class UsageError extends InputError {
  readonly status: 2 | 255;

  constructor(message: string, status: 2 | 255) {
    super(message);
    this.status = status;
  }
}

/** Throws what ipvsadm finds wrong by itself (status 2). */
export function fail(message: string): never {
  throw new UsageError(message, 2);
}
