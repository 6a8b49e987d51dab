// SPDX-License-Identifier: Apache-2.0
import { store } from "./store";

export type Theme = "auto" | "light" | "dark";
const kept = localStorage.getItem("theme");
export const theme = store<Theme>(kept === "light" || kept === "dark" ? kept : "auto");
const dark = matchMedia("(prefers-color-scheme: dark)");

function apply(): void {
  const chosen = theme.get();
  document.documentElement.dataset["theme"] = chosen === "auto" ? (dark.matches ? "dark" : "light") : chosen;
}
export function set_theme(next: Theme): void {
  if (next === "auto") localStorage.removeItem("theme");
  else localStorage.setItem("theme", next);
  theme.set(next);
  apply();
}
dark.addEventListener("change", apply);
apply();
