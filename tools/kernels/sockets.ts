/**
 * Sockets with every option that a listener can have, and no event loop: the kernel's side of a
 * connection needs none.
 */
import { isIPv4 } from "node:net";
import { checked, lastErrno, libcFunction } from "../../src/kernel/ffi.js";
import { CLONE_NEWNET, close, getsockopt, setns } from "../../src/kernel/libc.js";
import { type Address, addressBytes } from "../../src/model/address.js";

const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const IPPROTO_TCP = 6;
const IPPROTO_UDP = 17;
const IPPROTO_MPTCP = 262;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const SO_REUSEPORT = 15;
const SO_RCVTIMEO = 20;
const SO_SNDTIMEO = 21;
const SO_BINDTODEVICE = 25;
const SO_COOKIE = 57;
const IPPROTO_IPV6 = 41;
const IPV6_V6ONLY = 26;
const MSG_DONTWAIT = 0x40;
const EAGAIN = 11;

const nativeSocket = libcFunction<[number, number, number], number>(
  "int socket(int domain, int type, int protocol)",
);
const nativeBind = libcFunction<[number, Uint8Array, number], number>(
  "int bind(int fd, const void *address, uint32_t length)",
);
const nativeConnect = libcFunction<[number, Uint8Array, number], number>(
  "int connect(int fd, const void *address, uint32_t length)",
);
const nativeListen = libcFunction<[number, number], number>("int listen(int fd, int backlog)");
const nativeAccept = libcFunction<[number, null, null, number], number>(
  "int accept4(int fd, void *address, void *length, int flags)",
);
const nativeSetsockopt = libcFunction<[number, number, number, Uint8Array, number], number>(
  "int setsockopt(int fd, int level, int name, const void *value, uint32_t length)",
);
const nativeGetsockname = libcFunction<[number, Uint8Array, Uint32Array], number>(
  "int getsockname(int fd, void *address, void *length)",
);
const nativeSendto = libcFunction<
  [number, Uint8Array, number, number, Uint8Array, number],
  number | bigint
>(
  "int64_t sendto(int fd, const void *data, size_t size, int flags, const void *to, uint32_t length)",
);
const nativeRecvfrom = libcFunction<
  [number, Uint8Array, number, number, Uint8Array, Uint32Array],
  number | bigint
>("int64_t recvfrom(int fd, void *data, size_t size, int flags, void *from, void *length)");
const nativeUnshare = libcFunction<[number], number>("int unshare(int flags)");
const nativeFcntl = libcFunction<[number, number, number], number>(
  "int fcntl(int fd, int command, int value)",
);

export interface Name {
  readonly address: string;
  /** Host byte order. */
  readonly port: number;
}

export interface SocketOptions {
  /** Default: `tcp`. */
  readonly kind?: "tcp" | "udp" | "mptcp";
  /** Forces an IPv6 socket, as for "::ffff:127.0.0.5". */
  readonly v6?: boolean;
  readonly v6only?: boolean;
  readonly reuseport?: boolean;
  readonly device?: string;
  /** Milliseconds until a blocking call gives up. */
  readonly timeout?: number;
}

function sockaddr({ address, port }: Name, v6: boolean): Uint8Array {
  const bytes = new Uint8Array(v6 ? 28 : 16);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, v6 ? AF_INET6 : AF_INET, true);
  view.setUint16(2, port, false);
  const raw = addressBytes(address.replace(/^::ffff:(?=\d)/, "") as Address);
  bytes.set(v6 ? raw : raw.subarray(12), v6 ? 8 : 4);
  return bytes;
}

function nameOf(bytes: Uint8Array): Name {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const port = view.getUint16(2, false);
  if (view.getUint16(0, true) === AF_INET) return { address: bytes.slice(4, 8).join("."), port };
  const words = [0, 2, 4, 6, 8, 10, 12, 14].map((at) => view.getUint16(8 + at, false).toString(16));
  if (words.slice(0, 6).join(":") === "0:0:0:0:0:ffff") {
    return { address: bytes.slice(20, 24).join("."), port };
  }
  return { address: new URL(`http://[${words.join(":")}]`).hostname.slice(1, -1), port };
}

function int(value: number): Uint8Array {
  return new Uint8Array(Int32Array.of(value).buffer);
}

function timeval(milliseconds: number): Uint8Array {
  const seconds = BigInt(Math.floor(milliseconds / 1000));
  return new Uint8Array(BigInt64Array.of(seconds, BigInt(milliseconds % 1000) * 1000n).buffer);
}

/** One socket; `close` it. */
export class Socket {
  readonly fd: number;
  readonly #v6: boolean;
  #open = true;

  private constructor(fd: number, v6: boolean) {
    this.fd = fd;
    this.#v6 = v6;
  }

  static create(v6: boolean, options: SocketOptions = {}): Socket {
    const { kind = "tcp" } = options;
    const protocol = { tcp: IPPROTO_TCP, udp: IPPROTO_UDP, mptcp: IPPROTO_MPTCP }[kind];
    const type = (kind === "udp" ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC;
    const fd = checked("socket", nativeSocket(v6 ? AF_INET6 : AF_INET, type, protocol));
    const made = new Socket(fd, v6);
    const wait = timeval(options.timeout ?? 5000);
    made.#set(SOL_SOCKET, SO_RCVTIMEO, wait);
    made.#set(SOL_SOCKET, SO_SNDTIMEO, wait);
    if (kind !== "udp") made.#set(SOL_SOCKET, SO_REUSEADDR, int(1));
    if (v6) made.#set(IPPROTO_IPV6, IPV6_V6ONLY, int(options.v6only === true ? 1 : 0));
    if (options.reuseport === true) made.#set(SOL_SOCKET, SO_REUSEPORT, int(1));
    if (options.device !== undefined) {
      made.#set(SOL_SOCKET, SO_BINDTODEVICE, new TextEncoder().encode(`${options.device}\0`));
    }
    return made;
  }

  static bound(at: Name, options: SocketOptions = {}): Socket {
    const v6 = options.v6 === true || !isIPv4(at.address);
    const made = Socket.create(v6, options);
    try {
      made.bind(at);
    } catch (error) {
      made.close();
      throw error;
    }
    return made;
  }

  /** A listening TCP or MPTCP socket, or a bound UDP one. */
  static listener(at: Name, options: SocketOptions = {}): Socket {
    const made = Socket.bound(at, options);
    if (options.kind !== "udp") checked("listen", nativeListen(made.fd, 128));
    return made;
  }

  /** A client's socket. Throws with the errno of `connect`. */
  static connected(to: Name, options: SocketOptions = {}): Socket {
    const made = Socket.create(!isIPv4(to.address), options);
    try {
      made.connect(to);
    } catch (error) {
      made.close();
      throw error;
    }
    return made;
  }

  #set(level: number, name: number, value: Uint8Array): void {
    checked(
      `setsockopt ${level} ${name}`,
      nativeSetsockopt(this.fd, level, name, value, value.length),
    );
  }

  bind(at: Name): void {
    const address = sockaddr(at, this.#v6);
    checked(`bind ${at.address} ${at.port}`, nativeBind(this.fd, address, address.length));
  }

  connect(to: Name): void {
    const address = sockaddr(to, this.#v6);
    checked("connect", nativeConnect(this.fd, address, address.length));
  }

  /** A connection that is there already; undefined when there is none. */
  accept(): Socket | undefined {
    const F_GETFL = 3;
    const F_SETFL = 4;
    const O_NONBLOCK = 0o4000;
    const flags = checked("fcntl", nativeFcntl(this.fd, F_GETFL, 0));
    checked("fcntl", nativeFcntl(this.fd, F_SETFL, flags | O_NONBLOCK));
    const fd = nativeAccept(this.fd, null, null, SOCK_CLOEXEC);
    const errno = fd < 0 ? lastErrno() : 0;
    checked("fcntl", nativeFcntl(this.fd, F_SETFL, flags));
    if (errno === EAGAIN) return undefined;
    return new Socket(checked(`accept (errno ${errno})`, fd), this.#v6);
  }

  /** SO_COOKIE, decimal. */
  get cookie(): string {
    const value = getsockopt(this.fd, SOL_SOCKET, SO_COOKIE, 8);
    return new DataView(value.buffer).getBigUint64(0, true).toString();
  }

  get name(): Name {
    const bytes = new Uint8Array(28);
    checked("getsockname", nativeGetsockname(this.fd, bytes, Uint32Array.of(28)));
    return nameOf(bytes);
  }

  send(text: string, to: Name): void {
    const address = sockaddr(to, this.#v6);
    const data = new TextEncoder().encode(text);
    const result = nativeSendto(this.fd, data, data.length, 0, address, address.length);
    checked("sendto", Number(result));
  }

  /** Undefined when nothing came: at once with `wait` false, else after the socket's timeout. */
  receive(wait: boolean): { text: string; from: Name } | undefined {
    const data = new Uint8Array(65536);
    const from = new Uint8Array(28);
    const flags = wait ? 0 : MSG_DONTWAIT;
    const result = Number(
      nativeRecvfrom(this.fd, data, data.length, flags, from, Uint32Array.of(28)),
    );
    if (result < 0 && lastErrno() === EAGAIN) return undefined;
    checked("recvfrom", result);
    return { text: new TextDecoder().decode(data.subarray(0, result)), from: nameOf(from) };
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    close(this.fd);
  }
}

/** This thread goes to a new, empty network namespace. */
export function unshareNetwork(): void {
  checked("unshare", nativeUnshare(CLONE_NEWNET));
}

/** Goes back to the network namespace that `fd` is open on. */
export function enterNetwork(fd: number): void {
  setns(fd, CLONE_NEWNET);
}
