// SPDX-License-Identifier: Apache-2.0
// What a client's TCP connections and UDP sockets have in common.
import type { SocketAddress } from '../../../src/model/connection.ts';
import type { Failure, FailureName, Reply } from './protocol.ts';

export interface Channel {
  readonly local: SocketAddress;
  readonly peer: SocketAddress;
  /** One question, one answer. Rejects with what {@link failureOf} reads. */
  ask(): Promise<Reply>;
  /** As ask, for a channel that will then be closed. */
  askLast(): Promise<Reply>;
  /** Idempotent. */
  close(): Promise<void>;
}

export const defaultTimeoutMs = 2000;

/** A failure that no system call reports. */
export class ChannelError extends Error {
  readonly code: 'ETIMEDOUT' | 'EENDED';

  constructor(code: 'ETIMEDOUT' | 'EENDED') {
    super(code);
    this.code = code;
  }
}

const failures: Readonly<Record<string, FailureName>> = {
  ECONNREFUSED: 'refused',
  ETIMEDOUT: 'timeout',
  ECONNRESET: 'reset',
  EPIPE: 'reset',
  EENDED: 'closed',
  EHOSTUNREACH: 'unreachable',
  ENETUNREACH: 'unreachable',
  ECONNABORTED: 'aborted',
  EDESTADDRREQ: 'aborted', // what a UDP socket says that was destroyed before
  EPERM: 'denied',
  EACCES: 'denied',
};

/** The failure that an error stands for; errors that are no failure of the network are thrown again. */
export function failureOf(error: unknown): Failure {
  const outcome = failures[(error as NodeJS.ErrnoException).code ?? ''];
  if (outcome === undefined) throw error;
  return { outcome };
}
