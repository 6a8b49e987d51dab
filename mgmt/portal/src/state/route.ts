// SPDX-License-Identifier: Apache-2.0
// Routes live behind the "#", so that the server has one page: #/rules?policy=inside
import { store } from "./store";

export interface Route {
  page: string;
  query: URLSearchParams;
}

function read(): Route {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  return { page: path ?? "", query: new URLSearchParams(query ?? "") };
}
export const route = store<Route>(read());
addEventListener("hashchange", () => route.set(read()));

export function href(page: string, query?: Record<string, string>): string {
  const text = query ? new URLSearchParams(query).toString() : "";
  return `#/${page}${text ? `?${text}` : ""}`;
}
export function go(page: string, query?: Record<string, string>): void {
  location.hash = href(page, query);
}
