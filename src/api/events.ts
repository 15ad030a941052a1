/** What happens in a daemon, as its log and the readers of `GET /v1/events` hear of it. */
import type { EventShapes } from "../json/events.js";

/** An event as it is sent. */
export type SentEvent = EventShapes[keyof EventShapes];

type Told<Event> = Event extends unknown ? Omit<Event, "time"> : never;

/** An event of the stream alone: about the stream, and not about the host. */
type OfStream = "connected" | "lost" | "heartbeat" | "ending";

/** Something that happened; the time is added when it is told. */
export type DaemonEvent = Told<EventShapes[Exclude<keyof EventShapes, OfStream>]>;
/** What tells one reader about the stream. */
export type StreamEvent = Told<EventShapes[OfStream]>;
