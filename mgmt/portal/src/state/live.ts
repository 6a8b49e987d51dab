// SPDX-License-Identifier: Apache-2.0
// The dashboard as it happens: server-sent events, which do not keep a session alive.
import { useEffect, useState } from "preact/hooks";
import { failure_text } from "../api/http";
import { api } from "../api/methods";
import type { Dashboard } from "../api/types";
import type { Loading } from "../ui/basics";
import { see_waiting } from "./draft";

/** What was known, with the points that came; each series grows to `seconds`, then moves on. */
export function advanced(old: Dashboard, next: Dashboard, seconds: number): Dashboard {
  const most = Math.ceil(seconds / Math.max(1, next.step_seconds));
  const points = new Map((next.series ?? []).map((one) => [one.name, one.values ?? []]));
  const series = (old.series ?? []).map(({ name, values = [] }) => {
    return { name, values: [...values, ...(points.get(name) ?? [])].slice(-most) };
  });
  return { ...next, series };
}

/** The first event of a connection is the whole, each other one the points since. */
export function useLive(tenant: string, seconds: number): Loading<Dashboard> {
  const [state, set_state] = useState<{ value?: Dashboard; error?: string }>({});
  const [turn, set_turn] = useState(0);
  useEffect(() => {
    const events = new EventSource(`/api/v1/tenants/${encodeURIComponent(tenant)}/events?seconds=${seconds}`);
    let fresh = true;
    events.addEventListener("open", () => {
      fresh = true;
    });
    events.addEventListener("dashboard", (event) => {
      const next = JSON.parse((event as MessageEvent<string>).data) as Dashboard;
      const whole = fresh;
      fresh = false;
      see_waiting(tenant, next);
      set_state((old) => ({ value: whole || !old.value ? next : advanced(old.value, next, seconds) }));
    });
    // A stream that was refused says no reason: the same question as a plain one does.
    const why = () => {
      api.dashboard(tenant, seconds).then(
        (value) => set_state({ value }),
        (error: unknown) => set_state((old) => ({ ...old, error: failure_text(error) })),
      );
    };
    events.addEventListener("end", () => {
      events.close();
      why();
    });
    events.addEventListener("error", () => {
      if (events.readyState === EventSource.CLOSED) why();
    });
    return () => events.close();
  }, [tenant, seconds, turn]);
  return { ...state, again: () => set_turn((old) => old + 1) };
}
