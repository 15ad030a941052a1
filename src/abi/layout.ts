/**
 * Reads and writes a struct that is shared with the kernel side. eBPF has the host's byte order;
 * ilm supports little-endian hosts only.
 */
export interface Layout<T> {
  /** The size of the struct in bytes. */
  readonly size: number;
  read(view: DataView, at: number): T;
  write(view: DataView, at: number, value: T): void;
}

/**
 * Returns a copy of bytes of the view, because the kernel may go on writing the memory below it.
 */
export function bytesAt(view: DataView, at: number, size: number): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset + at, size).slice();
}

export function putBytes(view: DataView, at: number, size: number, value: Uint8Array): void {
  if (value.length !== size) throw new RangeError(`${value.length} bytes given for ${size}`);
  // Creating an array over the destination would take longer than filling it: these are addresses.
  for (let i = 0; i < size; i++) view.setUint8(at + i, value[i] ?? 0);
}

/** Returns the layout of a field of raw bytes. */
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

/** Decodes every whole value in `bytes` and ignores a rest that is shorter than one. */
export function decodeAll<T>(layout: Layout<T>, bytes: Uint8Array): T[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const values: T[] = [];
  for (let at = 0; at + layout.size <= bytes.byteLength; at += layout.size) {
    values.push(layout.read(view, at));
  }
  return values;
}
