// SPDX-License-Identifier: Apache-2.0
// One step from the actual to the desired state; each is what one ipvsadm command does.
import type {
  Destination,
  DestinationKey,
  VirtualServiceDefinition,
  VirtualServiceKey,
} from './virtual-service.ts';

export type Operation =
  | { readonly do: 'add-service'; readonly service: VirtualServiceDefinition }
  | { readonly do: 'edit-service'; readonly service: VirtualServiceDefinition }
  | { readonly do: 'delete-service'; readonly service: VirtualServiceKey }
  | { readonly do: 'add-destination'; readonly service: VirtualServiceKey; readonly destination: Destination }
  | {
      readonly do: 'edit-destination';
      readonly service: VirtualServiceKey;
      readonly destination: Destination;
    }
  | {
      readonly do: 'delete-destination';
      readonly service: VirtualServiceKey;
      readonly destination: DestinationKey;
    };
