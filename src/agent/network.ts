// SPDX-License-Identifier: Apache-2.0
// The devices and addresses of the node, now and whenever they change.

import type { Network } from '../dataplane/bpf/uplinks.ts';
import { SystemError } from '../errors.ts';
import { type Address, addressFromBytes } from '../model/address.ts';
import { listAddresses, listLinks, type NetworkWatch, watchNetwork } from '../native/netlink.ts';
import type { AddressRecord, LinkRecord } from '../native/network-records.ts';

export interface NetworkListener {
  /** Links or addresses: after every change, with all that there is. */
  networkChanged(network: Network): void;
  linksChanged(links: readonly LinkRecord[]): void;
  /** Each address once. */
  addressesChanged(addresses: readonly Address[]): void;
  /** The kernel's events cannot be read at the moment; the next look is on its way. */
  failed(error: Error): void;
}

/** Changes that come together are one change. */
const settleMs = 20;
const retryMs = 1000;

/** kube-proxy's IPVS mode keeps cluster IPs on it; they are none of the node's own addresses. */
const foreignDevice = 'kube-ipvs0';

/** Events only say that something changed; what there is, the kernel's lists say. So no event can be missed or misread. */
export class NetworkFollower implements Disposable {
  readonly #listener: NetworkListener;
  #watch: NetworkWatch | undefined;
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;
  #haveLinksChanged = false;
  #known = '';

  private constructor(listener: NetworkListener) {
    this.#listener = listener;
  }

  /** Tells the listener of what there is before it returns. Throws SystemError. */
  static open(listener: NetworkListener): NetworkFollower {
    const follower = new NetworkFollower(listener);
    follower.#start();
    return follower;
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    this.#watch?.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Watches first and lists then. */
  #start(): void {
    this.#watch = watchNetwork(
      ({ event }) => {
        this.#haveLinksChanged ||= !event.startsWith('address');
        this.#timer ??= setTimeout(() => this.#attempt(() => this.#look()), settleMs);
      },
      (error) => this.#failed(error),
    );
    this.#haveLinksChanged = true;
    this.#look();
  }

  #look(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const links = listLinks();
    const records = listAddresses();
    const addresses = ownAddresses(records, links);
    this.#listener.networkChanged({ links, addresses: records });
    if (addresses.join() !== this.#known) {
      this.#known = addresses.join();
      this.#listener.addressesChanged(addresses);
    }
    if (this.#haveLinksChanged) {
      this.#haveLinksChanged = false;
      this.#listener.linksChanged(links);
    }
  }

  #failed(error: Error): void {
    if (this.#isClosed) return;
    clearTimeout(this.#timer);
    this.#watch?.close();
    this.#listener.failed(error);
    this.#timer = setTimeout(() => this.#attempt(() => this.#start()), retryMs);
  }

  #attempt(step: () => void): void {
    this.#timer = undefined;
    try {
      step();
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      this.#failed(error);
    }
  }
}

function ownAddresses(records: readonly AddressRecord[], links: readonly LinkRecord[]): readonly Address[] {
  const foreign = links.find((link) => link.name === foreignDevice)?.index;
  const own = records.filter((record) => record.ifindex !== foreign);
  return [...new Set(own.map((record) => addressFromBytes(record.family, record.address)))].sort();
}
