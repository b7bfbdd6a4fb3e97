// SPDX-License-Identifier: Apache-2.0
// Recorded persistence templates: once a template has outlived its timeout, the recorded kernel's timers made it late.
import { expectSame } from './oracle.ts';

export interface TemplateEntry {
  readonly state: string;
  readonly expires: number;
  readonly dest: string;
}

/** A template whose time has come while connections hold it is looked at again after so long. */
const roundSeconds = 60;
/** How late a timer of the recorded kernel may be for so long a timeout: each round begins as late. */
const latenessSeconds = 2.1;

/** Compares the one template of a recording with the data plane's. */
export class TemplateTimer {
  readonly #timeoutSeconds: number;
  #usedAt = 0;
  /** When the data plane's template was last seen to have its next round. */
  #endsAt = 0;

  /** @param timeoutSeconds of the persistent service */
  constructor(timeoutSeconds: number) {
    this.#timeoutSeconds = timeoutSeconds;
  }

  /** A connection was opened. */
  used(at: number): void {
    this.#usedAt = at;
  }

  /** Throws Differs where more than what the kernel's timers may be late tells the two apart. */
  compare(
    what: string,
    at: number,
    own: TemplateEntry | undefined,
    recorded: TemplateEntry | undefined,
  ): void {
    const late = this.#latenessAt(at);
    if (own && recorded) {
      expectSame(`${what} template`, [own.state, own.dest], [recorded.state, recorded.dest]);
      const difference = (recorded.expires - own.expires + 1 + roundSeconds) % roundSeconds;
      if (late === 0 || difference > late + 2)
        expectSame(`${what} template expires`, own.expires, recorded.expires);
    } else if (own && roundSeconds - own.expires > late + 1) {
      expectSame(`${what} template`, own, recorded); // not in a round that the kernel's did not begin
    } else if (recorded && at + recorded.expires - this.#endsAt > late + latenessSeconds) {
      expectSame(`${what} template`, own, recorded);
    }
    if (own) this.#endsAt = at + own.expires;
  }

  #latenessAt(at: number): number {
    const over = at - this.#usedAt - this.#timeoutSeconds;
    return over < 0 ? 0 : latenessSeconds * (Math.floor(over / roundSeconds) + 1);
  }
}
