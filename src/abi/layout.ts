/**
 * How a struct that is shared with the kernel side is read and written. eBPF has the host's byte
 * order; we support little-endian hosts only.
 */
export interface Layout<T> {
  /** Bytes. */
  readonly size: number;
  read(view: DataView, at: number): T;
  write(view: DataView, at: number, value: T): void;
}

/** A copy: the view may be over memory that the kernel goes on writing. */
export function bytesAt(view: DataView, at: number, size: number): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset + at, size).slice();
}

export function putBytes(view: DataView, at: number, size: number, value: Uint8Array): void {
  if (value.length !== size) throw new RangeError(`${value.length} bytes given for ${size}`);
  // An array over the place would take longer to make than to fill: these are addresses.
  for (let i = 0; i < size; i++) view.setUint8(at + i, value[i] ?? 0);
}

/** Bytes as they are. */
export function bytesLayout(size: number): Layout<Uint8Array> {
  return {
    size,
    read: (view, at) => bytesAt(view, at, size),
    write: (view, at, value) => {
      putBytes(view, at, size, value);
    },
  };
}

export function encode<T>(layout: Layout<T>, value: T): Uint8Array {
  const bytes = new Uint8Array(layout.size);
  layout.write(new DataView(bytes.buffer), 0, value);
  return bytes;
}

export function decode<T>(layout: Layout<T>, bytes: Uint8Array, at = 0): T {
  return layout.read(new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), at);
}

/** Every whole value in `bytes`. */
export function decodeAll<T>(layout: Layout<T>, bytes: Uint8Array): T[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const values: T[] = [];
  for (let at = 0; at + layout.size <= bytes.byteLength; at += layout.size) {
    values.push(layout.read(view, at));
  }
  return values;
}
