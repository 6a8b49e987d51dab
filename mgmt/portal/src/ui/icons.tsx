// SPDX-License-Identifier: Apache-2.0
// Strokes on a grid of 20.
const PATHS = {
  home: "M3 9.5 10 4l7 5.5M5 8.5V16h10V8.5M8.5 16v-4h3v4",
  rules: "M4 5h12M4 10h12M4 15h7M15 13l1.6 1.6L19 12",
  objects: "M4 4h5v5H4zM11 4h5v5h-5zM4 11h5v5H4zM11 11h5v5h-5z",
  nat: "M3 7h12l-3-3M17 13H5l3 3",
  binding: "M8 12 12 8M6.5 9.5 5 11a3 3 0 0 0 4.2 4.2l1.6-1.6M13.5 10.5 15 9A3 3 0 0 0 10.8 4.8L9.2 6.4",
  gateway: "M3 7h14M5 7V5.5M15 7V5.5M5.5 7v9M14.5 7v9M3 10.5h14",
  users:
    "M7.5 9.5a2.7 2.7 0 1 0 0-5.4 2.7 2.7 0 0 0 0 5.4Z" +
    "M2.5 16c.3-3 2.3-4.5 5-4.5s4.7 1.5 5 4.5M13 4.5a2.5 2.5 0 0 1 0 4.8M14.5 11.8c1.8.5 2.8 2 3 4.2",
  devices: "M3.5 4.5h13v8h-13zM7 16h6M10 12.5V16",
  sessions: "M3 10a7 7 0 0 1 14 0M6 10a4 4 0 0 1 8 0M10 10v6M8 16h4",
  explain: "M9 14.5a5.5 5.5 0 1 0 0-11 5.5 5.5 0 0 0 0 11ZM13 13l4 4M7 8.5h4M9 6.5v4",
  logs: "M5 3.5h10v13H5zM7.5 7h5M7.5 10h5M7.5 13h3",
  audit: "M10 3.5 16 6v4c0 3.5-2.5 5.7-6 7-3.5-1.3-6-3.5-6-7V6zM7.5 10l2 2 3.5-3.5",
  accounts: "M10 10a3 3 0 1 0 0-6 3 3 0 0 0 0 6ZM4 16.5c.5-3.5 3-5 6-5s5.5 1.5 6 5",
  consent:
    "M4 11V8.5a1.2 1.2 0 0 1 2.4 0V5a1.2 1.2 0 0 1 2.4 0" +
    "V4a1.2 1.2 0 0 1 2.4 0v1.5a1.2 1.2 0 0 1 2.4 0V12c0 3-2 5-4.8 5C6 17 4 15 4 11Z",
  notices: "M4.5 14h11l-1.2-2V9a4.3 4.3 0 0 0-8.6 0v3zM8.5 16.5h3",
  revisions: "M4 10a6 6 0 1 1 1.8 4.3M4 14.5V11h3.5M10 6.5V10l2.5 1.5",
  platform: "M4 4h12v5H4zM4 11h12v5H4zM6.5 6.5h.01M6.5 13.5h.01",
  tenants: "M3 16V7l5-3v12M8 8h6.5v8M2 16h16M10.5 11h1.5M10.5 13.5h1.5M5.5 8.5v0M5.5 11v0",
  menu: "M3.5 6h13M3.5 10h13M3.5 14h13",
  close: "M5 5l10 10M15 5 5 15",
  plus: "M10 4v12M4 10h12",
  edit: "M4 16l.8-3.2L13 4.5 15.5 7l-8.3 8.2z",
  trash: "M4 6h12M8 6V4h4v2M5.5 6l.7 10.5h7.6L14.5 6",
  copy: "M7 7h9v9H7zM4 13V4h9",
  grip: "M8 5v.01M12 5v.01M8 10v.01M12 10v.01M8 15v.01M12 15v.01",
  up: "M10 16V4M5.5 8.5 10 4l4.5 4.5",
  down: "M10 4v12M5.5 11.5 10 16l4.5-4.5",
  search: "M9 14.5a5.5 5.5 0 1 0 0-11 5.5 5.5 0 0 0 0 11ZM13 13l4 4",
  download: "M10 3.5v9M6 9l4 4 4-4M4 16.5h12",
  out: "M8 4H4v12h4M8 10h9M13.5 6.5 17 10l-3.5 3.5",
  sun:
    "M10 13.2a3.2 3.2 0 1 0 0-6.4 3.2 3.2 0 0 0 0 6.4ZM10 2.5v1.6M10 15.9v1.6M2.5 10h1.6" +
    "M15.9 10h1.6M4.7 4.7l1.1 1.1M14.2 14.2l1.1 1.1M15.3 4.7l-1.1 1.1M5.8 14.2l-1.1 1.1",
  check: "M4.5 10.5 8.5 14.5 16 6",
  warn: "M10 3.5 17.5 16h-15zM10 8v4M10 14v.01",
  undo: "M4 8h8a4 4 0 0 1 0 8H8M4 8l3.5-3.5M4 8l3.5 3.5",
} as const;
export type IconName = keyof typeof PATHS;

/** Decoration beside words: screen readers do not see it. */
export function Icon({ name }: { name: IconName }) {
  return (
    <svg
      viewBox="0 0 20 20"
      width="17"
      height="17"
      fill="none"
      stroke="currentColor"
      stroke-width="1.6"
      stroke-linecap="round"
      stroke-linejoin="round"
      aria-hidden="true"
    >
      <path d={PATHS[name]} />
    </svg>
  );
}

export function Mark() {
  return (
    <svg viewBox="0 0 32 32" aria-hidden="true">
      <rect width="32" height="32" rx="7" fill="#24426b" />
      <path
        d="M6 10.5h20M8 14.5h16M10.5 10.5V25M21.5 10.5V25M5 8.2c7 1.3 15 1.3 22 0"
        fill="none"
        stroke="#fff"
        stroke-width="2.4"
        stroke-linecap="round"
      />
    </svg>
  );
}
