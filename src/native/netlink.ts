// SPDX-License-Identifier: Apache-2.0
// Links and addresses of the calling thread's network namespace: lists of them, and their changes.
import { SystemError } from '../errors.ts';
import { addon } from './addon.ts';
import type { AddressRecord, LinkRecord, NetworkEvent } from './network-records.ts';

/** All links. Throws SystemError. */
export function listLinks(): readonly LinkRecord[] {
  return unlessInterrupted(() => addon.dumpNetwork(false));
}

/** All IPv4 and IPv6 addresses. Throws SystemError. */
export function listAddresses(): readonly AddressRecord[] {
  return unlessInterrupted(() => addon.dumpNetwork(true));
}

export interface NetworkWatch extends Disposable {
  /** Lets the process end while the watch is open. */
  unref(): void;
  ref(): void;
  /** No event comes after it, not even of those already read. May be called from an event, and twice. */
  close(): void;
}

/**
 * Watches links and addresses from now on: watch first, list then, and no change is missed. Keeps the process alive until
 * closed or unref'ed. After an error the watch is closed.
 */
export function watchNetwork(
  onEvent: (event: NetworkEvent) => void,
  onError: (error: Error) => void,
): NetworkWatch {
  let isOpen = true;
  const native = addon.watchNetwork((events, error) => {
    if (error !== undefined) {
      close();
      onError(error);
    }
    for (const event of events ?? []) {
      if (isOpen) onEvent(event);
    }
  });
  function close(): void {
    isOpen = false;
    native.close();
  }
  return {
    ref: () => native.setReferenced(true),
    unref: () => native.setReferenced(false),
    close,
    [Symbol.dispose]: close,
  };
}

/** The kernel ends a dump with EINTR when what it lists changed meanwhile. */
function unlessInterrupted<T>(dump: () => T): T {
  for (;;) {
    try {
      return dump();
    } catch (error) {
      if (!(error instanceof SystemError && error.code === 'EINTR')) throw error;
    }
  }
}
