// SPDX-License-Identifier: Apache-2.0
// C structs as records: any struct whose layout has been generated from BTF.

/** How a field's bytes are read: a number of the machine's byte order, one of network byte order, or as they are. */
export type FieldKind = 'number' | 'network' | 'bytes';

export interface FieldLayout {
  /** Bytes from the start of the struct. */
  readonly offset: number;
  readonly size: number;
  readonly kind: FieldKind;
  /** Elements of an array of numbers. */
  readonly count?: number;
}

export interface StructLayout {
  readonly size: number;
  readonly fields: Readonly<Record<string, FieldLayout>>;
}

type FieldValue<F extends FieldLayout> = F extends { kind: 'bytes' }
  ? Uint8Array
  : F extends { count: number }
    ? readonly bigint[]
    : F extends { size: 8 }
      ? bigint
      : number;

export type StructValue<L extends StructLayout> = {
  readonly [K in keyof L['fields']]: FieldValue<L['fields'][K]>;
};

/** Reads one struct that begins at `at`. Byte fields are windows into `bytes`, not copies. */
export function decode<L extends StructLayout>(layout: L, bytes: Uint8Array, at = 0): StructValue<L> {
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, layout.size);
  const value: Record<string, unknown> = {};
  for (const name in layout.fields) {
    const field = layout.fields[name];
    if (field) value[name] = readField(field, view);
  }
  return value as StructValue<L>;
}

/** The bytes of one struct; fields that are not given are zero. */
export function encode<L extends StructLayout>(layout: L, values: Partial<StructValue<L>>): Uint8Array {
  const bytes = new Uint8Array(layout.size);
  const view = new DataView(bytes.buffer);
  for (const name in values) {
    const field = layout.fields[name];
    const value: unknown = values[name];
    if (field && value !== undefined) writeField(field, view, value);
  }
  return bytes;
}

function readField(field: FieldLayout, view: DataView): unknown {
  const isLittleEndian = field.kind !== 'network';
  if (field.kind === 'bytes') return new Uint8Array(view.buffer, view.byteOffset + field.offset, field.size);
  if (field.count !== undefined) {
    return Array.from({ length: field.count }, (_, i) => view.getBigUint64(field.offset + 8 * i, true));
  }
  if (field.size === 8) return view.getBigUint64(field.offset, isLittleEndian);
  if (field.size === 4) return view.getUint32(field.offset, isLittleEndian);
  if (field.size === 2) return view.getUint16(field.offset, isLittleEndian);
  return view.getUint8(field.offset);
}

function writeField(field: FieldLayout, view: DataView, value: unknown): void {
  const isLittleEndian = field.kind !== 'network';
  if (value instanceof Uint8Array) {
    new Uint8Array(view.buffer, field.offset, field.size).set(value.subarray(0, field.size));
  } else if (Array.isArray(value)) {
    for (const [i, element] of value.entries()) view.setBigUint64(field.offset + 8 * i, element, true);
  } else if (typeof value === 'bigint') view.setBigUint64(field.offset, value, isLittleEndian);
  else if (field.size === 4) view.setUint32(field.offset, Number(value), isLittleEndian);
  else if (field.size === 2) view.setUint16(field.offset, Number(value), isLittleEndian);
  else view.setUint8(field.offset, Number(value));
}
