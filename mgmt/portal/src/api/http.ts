// SPDX-License-Identifier: Apache-2.0
// One way to ask the management agent: same origin, the session's cookie, the CSRF token on what is no GET.
import { t, t_or, type Key } from "../text/text";
import type { ApiFailure, Finding } from "./types";

export class Refusal extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly path = "",
    readonly findings: Finding[] = [],
  ) {
    super(message);
  }
}

let csrf = "";
let signed_out: () => void = () => undefined;
export function set_csrf(token: string): void {
  csrf = token;
}
/** Called when the server no longer knows the session. */
export function when_signed_out(act: () => void): void {
  signed_out = act;
}

export interface Options {
  query?: Record<string, string | number | string[] | undefined>;
  body?: unknown;
  match?: number;
  key?: string;
  /** The caller knows what to do with a request that waits for a second person; else that is thrown. */
  may_wait?: boolean;
}

function address(path: string, query: Options["query"]): string {
  const words = new URLSearchParams();
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value === undefined || value === "") continue;
    for (const one of Array.isArray(value) ? value : [value]) words.append(name, String(one));
  }
  const text = words.toString();
  return `/api/v1/${path}${text ? `?${text}` : ""}`;
}

/** A question that found nobody is asked again a little later; what may change something is not. */
const AGAIN_MS = [300, 1000, 3000];
async function reach(url: string, request: RequestInit): Promise<Response> {
  for (let turn = 0; ; ++turn) {
    try {
      return await fetch(url, request);
    } catch {
      const pause = request.method === "GET" ? AGAIN_MS[turn] : undefined;
      if (pause === undefined) throw new Refusal(0, "unreachable", t("error.unreachable"));
      await new Promise((done) => setTimeout(done, pause));
    }
  }
}

async function answer(method: string, path: string, options: Options): Promise<Response> {
  const headers: Record<string, string> = { accept: "application/json" };
  if (method !== "GET") headers["x-sekisho-csrf"] = csrf;
  if (options.body !== undefined) headers["content-type"] = "application/json";
  if (options.match) headers["if-match"] = `"${options.match}"`;
  if (options.key) headers["idempotency-key"] = options.key;
  const response = await reach(address(path, options.query), {
    method,
    headers,
    credentials: "same-origin",
    cache: "no-store",
    ...(options.body !== undefined ? { body: JSON.stringify(options.body) } : {}),
  });
  if (response.ok) return response;
  const failure = (await response.json().catch(() => ({}))) as Partial<ApiFailure>;
  const refusal = new Refusal(
    response.status,
    failure.code ?? String(response.status),
    failure.message ?? response.statusText,
    failure.path,
    failure.findings,
  );
  if (response.status === 401 && !path.startsWith("login") && path !== "me") signed_out();
  throw refusal;
}

export async function ask<T>(method: "GET" | "POST" | "PUT" | "DELETE", path: string, options: Options = {}): Promise<T> {
  const response = await answer(method, path, options);
  if (response.status === 202 && !options.may_wait) throw new Refusal(202, "waits", t("approvals.asked"));
  return (response.status === 204 ? {} : await response.json()) as T;
}

export interface Fetched {
  name: string;
  blob: Blob;
  token: string;
}
const TRIES = 5;

/** A file in pieces, with the token by which it goes on where a broken connection left it. */
export async function fetch_file(
  path: string,
  query: NonNullable<Options["query"]>,
  progress: (bytes: number, token: string) => void,
  stop: AbortSignal,
): Promise<Fetched> {
  const pieces: BlobPart[] = [];
  let [bytes, token, name] = [0, "", "sekisho-log"];
  for (let left = TRIES; ; --left) {
    const response = await answer("GET", path, { query: token ? { token, offset: bytes } : query });
    token = response.headers.get("x-sekisho-download") ?? token;
    name = /filename="?([^";]+)"?/.exec(response.headers.get("content-disposition") ?? "")?.[1] ?? name;
    const reader = response.body!.getReader();
    const abort = () => void reader.cancel();
    stop.addEventListener("abort", abort);
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        pieces.push(value as Uint8Array<ArrayBuffer>);
        bytes += value.length;
        progress(bytes, token);
      }
      if (stop.aborted) throw new Refusal(0, "stopped", t("error.stopped"));
      return { name, blob: new Blob(pieces), token };
    } catch (error) {
      if (stop.aborted || !token || left <= 1) throw error;
    } finally {
      stop.removeEventListener("abort", abort);
    }
  }
}

export function save_blob(name: string, blob: Blob): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** It is not done yet: a second person has to let it happen. */
export const is_waiting = (error: unknown): boolean => error instanceof Refusal && error.code === "waits";

/** What went wrong, in the reader's language where the code is known. */
export function failure_text(error: unknown): string {
  if (!(error instanceof Refusal)) return error instanceof Error ? error.message : String(error);
  const known: Key[] = [
    "error.denied",
    "error.not_found",
    "error.conflict",
    "error.precondition",
    "error.too_many",
    "error.locked",
    "error.busy",
    "error.unavailable",
    "error.unauthenticated",
  ];
  const key = `error.${error.code}` as Key;
  const sentence = known.includes(key) ? t_or(key, error.message) : error.message;
  const detail = sentence !== error.message && error.message ? ` (${error.message})` : "";
  const places = error.findings
    .slice(0, 3)
    .map((finding) => `${finding.path ? `${finding.path}: ` : ""}${finding.message}`)
    .join("; ");
  return `${sentence}${detail}${error.path ? ` – ${error.path}` : ""}${places ? `: ${places}` : ""}`;
}
