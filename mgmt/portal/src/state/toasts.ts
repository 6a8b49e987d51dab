// SPDX-License-Identifier: Apache-2.0
import { store } from "./store";

export interface Toast {
  id: number;
  kind: "good" | "bad" | "warn";
  text: string;
}
export const toasts = store<Toast[]>([]);
let next = 1;

/** Says something for eight seconds; failures stay until they are closed. */
export function say(text: string, kind: Toast["kind"] = "good"): void {
  const toast = { id: next++, kind, text };
  toasts.set([...toasts.get().slice(-3), toast]);
  if (kind !== "bad") setTimeout(() => close_toast(toast.id), 8000);
}
export function close_toast(id: number): void {
  toasts.set(toasts.get().filter((toast) => toast.id !== id));
}
