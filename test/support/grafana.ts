/** The type of a dashboard as Grafana saves it, from the types that Grafana publishes. */
import type { AnnotationQuery, Dashboard } from "@grafana/schema";

/** JSON has the values of an enum, not its names. */
type Json<T> = T extends string
  ? `${T}`
  : T extends readonly (infer Item)[]
    ? Json<Item>[]
    : T extends object
      ? { [Key in keyof T]: Json<T[Key]> }
      : T;

/** What Prometheus' data source adds to an annotation, which the published types leave to it. */
interface PrometheusAnnotation {
  readonly expr: string;
  readonly titleFormat: string;
}

export interface SavedDashboard extends Json<Omit<Dashboard, "annotations">> {
  readonly annotations: {
    readonly list: readonly (Json<AnnotationQuery> & PrometheusAnnotation)[];
  };
}
