// SPDX-License-Identifier: Apache-2.0
// The dashboard as it happens: one whole answer, then new points over server-sent events, which do not keep a session alive.
import { useEffect, useState } from "preact/hooks";
import { failure_text } from "../api/http";
import { api } from "../api/methods";
import type { Dashboard } from "../api/types";
import type { Loading } from "../ui/basics";
import { see_waiting } from "./draft";

/** What was known, with the points that came: each series moves on by one. */
export function advanced(old: Dashboard | undefined, next: Dashboard): Dashboard {
  const short = (next.series ?? []).every((one) => (one.values ?? []).length <= 1);
  if (!old || !short) return next;
  const points = new Map((next.series ?? []).map((one) => [one.name, one.values ?? []]));
  const series = (old.series ?? []).map(({ name, values = [] }) => {
    const came = points.get(name) ?? [];
    return { name, values: [...values.slice(came.length), ...came] };
  });
  return { ...next, series };
}

export function useLive(tenant: string, seconds: number): Loading<Dashboard> {
  const [state, set_state] = useState<{ value?: Dashboard; error?: string }>({});
  const [turn, set_turn] = useState(0);
  useEffect(() => {
    let live = true;
    const take = (next: Dashboard, whole: boolean) => {
      if (!live) return;
      see_waiting(tenant, next);
      set_state((old) => ({ value: whole ? next : advanced(old.value, next) }));
    };
    api.dashboard(tenant, seconds).then(
      (next) => take(next, true),
      (error: unknown) => {
        if (live) set_state((old) => ({ ...old, error: failure_text(error) }));
      },
    );
    const events = new EventSource(`/api/v1/tenants/${encodeURIComponent(tenant)}/events?seconds=${seconds}`);
    events.addEventListener("dashboard", (event) => take(JSON.parse((event as MessageEvent<string>).data) as Dashboard, false));
    events.addEventListener("end", () => {
      events.close();
      api.me().catch(() => undefined);
    });
    return () => {
      live = false;
      events.close();
    };
  }, [tenant, seconds, turn]);
  return { ...state, again: () => set_turn((old) => old + 1) };
}
