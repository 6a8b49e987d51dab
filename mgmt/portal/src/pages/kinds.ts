// SPDX-License-Identifier: Apache-2.0
// The lists of a tenant's document as pages show and edit them: which fields there are, of what kind, and where their words come from.
import type { Document, ListName, NamedItem } from "../api/types";
import type { Key } from "../text/text";

/** Where names come from: lists of the document, its zones, ports that are no tunnels. */
export type Source = ListName[] | "zones" | "outer";
/** `key` may lead into a part: "sstp.accept". Of a field with `within` nothing is seen unless that part is there. */
export type Field = { key: string; label: Key; hint?: Key; wide?: boolean; example?: string; within?: string } & (
  | { kind: "text" | "area" | "pems" | "number" | "flag" | "nt_password" } // pems: a list of PEM texts, one below the other
  | { kind: "psk" } // the first of a list of named pre-shared keys
  | { kind: "title" }
  | { kind: "door"; fresh: Record<string, unknown> } // a part of the item, there or not
  | { kind: "choice"; values: string[]; texts: string } // texts: prefix of the messages
  | { kind: "words"; from?: Source; only?: boolean; values?: string[] } // values: all there are
  | { kind: "one"; from: Source; optional?: boolean }
  | { kind: "parts"; read: (part: never) => string; write: (text: string) => unknown } // a list of small messages, a word each
);
export interface ItemKind {
  list: ListName;
  title: Key;
  lead: Key;
  fields: Field[];
  columns: string[];
  fresh: NamedItem;
  action: string;
  csv?: boolean; // comes from files and goes into them
}

const memo: Field = { key: "memo", label: "form.memo", kind: "text", wide: true };
const named: Field = { key: "name", label: "form.name", kind: "text" };

const icmp: Field = {
  key: "icmp",
  label: "object.icmp",
  hint: "object.icmp_hint",
  kind: "parts",
  example: "8/0",
  read: (part: { type?: number; code?: number }) =>
    part.code === undefined ? String(part.type ?? 0) : `${part.type ?? 0}/${part.code}`,
  write: (text) => {
    const [type, code] = text.split("/");
    return { type: Number(type), ...(code === undefined ? {} : { code: Number(code) }) };
  },
};

export const ADDRESSES: ItemKind = {
  list: "addresses",
  title: "object.addresses",
  lead: "object.addresses_lead",
  columns: ["entries"],
  fresh: { name: "" },
  action: "rules_edit",
  csv: true,
  fields: [
    named,
    { key: "entries", label: "object.entries", hint: "object.entries_hint", kind: "words", wide: true, example: "10.0.0.0/24" },
  ],
};
export const ADDRESS_GROUPS: ItemKind = {
  list: "address_groups",
  title: "object.address_groups",
  lead: "object.address_groups_lead",
  columns: ["members", "exclude"],
  fresh: { name: "" },
  action: "rules_edit",
  csv: true,
  fields: [
    named,
    { key: "members", label: "object.members", kind: "words", from: ["addresses", "address_groups"], only: true, wide: true },
    { key: "exclude", label: "object.exclude", kind: "words", from: ["addresses", "address_groups"], only: true, wide: true },
  ],
};
export const SERVICES: ItemKind = {
  list: "services",
  title: "object.services",
  lead: "object.services_lead",
  columns: ["protocol", "destination_ports", "icmp"],
  fresh: { name: "", protocol: "tcp" },
  action: "rules_edit",
  csv: true,
  fields: [
    named,
    { key: "protocol", label: "object.protocol", hint: "object.protocol_hint", kind: "text", example: "tcp" },
    { key: "destination_ports", label: "object.destination_ports", kind: "words", example: "443, 8000-8099" },
    { key: "source_ports", label: "object.source_ports", kind: "words" },
    icmp,
    { key: "timeout_seconds", label: "object.timeout", hint: "object.timeout_hint", kind: "number" },
  ],
};
export const SERVICE_GROUPS: ItemKind = {
  list: "service_groups",
  title: "object.service_groups",
  lead: "object.service_groups_lead",
  columns: ["members"],
  fresh: { name: "" },
  action: "rules_edit",
  csv: true,
  fields: [
    named,
    { key: "members", label: "object.members", kind: "words", from: ["services", "service_groups"], only: true, wide: true },
  ],
};
export const SCHEDULES: ItemKind = {
  list: "schedules",
  title: "object.schedules",
  lead: "object.schedules_lead",
  columns: ["weekly", "once"],
  fresh: { name: "" },
  action: "rules_edit",
  csv: true,
  fields: [
    named,
    { key: "weekly", label: "object.weekly", kind: "words", wide: true, example: "mon-fri 09:00-17:30" },
    { key: "once", label: "object.once", kind: "words", wide: true, example: "2026-12-29 18:00 to 2027-01-04 09:00" },
    memo,
  ],
};
export const NAT: ItemKind = {
  list: "nat",
  title: "page.nat",
  lead: "nat.lead",
  columns: ["kind", "source", "destination", "service", "translated"],
  fresh: { name: "", kind: "napt" },
  action: "rules_edit",
  fields: [
    named,
    {
      key: "kind",
      label: "nat.kind",
      kind: "choice",
      values: ["snat", "dnat", "1:1", "napt", "nptv6", "no-nat"],
      texts: "nat.kind.",
    },
    { key: "source", label: "rules.source", kind: "words", from: ["addresses", "address_groups"], only: true },
    { key: "destination", label: "rules.destination", kind: "words", from: ["addresses", "address_groups"], only: true },
    { key: "service", label: "rules.service", kind: "words", from: ["services", "service_groups"], only: true },
    { key: "translated", label: "nat.translated", hint: "nat.translated_hint", kind: "words", example: "203.0.113.17" },
    { key: "source_zones", label: "rules.source_zones", kind: "words", from: "zones", only: true },
    { key: "destination_zones", label: "rules.destination_zones", kind: "words", from: "zones", only: true },
    { key: "translated_port", label: "nat.port", kind: "number" },
    { key: "log", label: "rules.log", kind: "choice", values: ["none", "start", "end", "both"], texts: "log." },
    { key: "enabled", label: "rules.enabled", kind: "flag" },
    memo,
  ],
};
export const USERS: ItemKind = {
  list: "users",
  title: "remote.users",
  lead: "remote.users_lead",
  columns: ["groups", "suspended", "static_addresses", "memo"],
  fresh: { name: "" },
  action: "users_edit",
  csv: true,
  fields: [
    { ...named, label: "remote.login" },
    { key: "groups", label: "remote.groups", kind: "words", from: ["user_groups"], only: true },
    { key: "nt_hash", label: "remote.password", hint: "remote.password_hint", kind: "nt_password", wide: true },
    { key: "static_addresses", label: "remote.static", kind: "words", example: "10.99.4.27" },
    { key: "suspended", label: "remote.suspended", kind: "flag" },
    memo,
  ],
};
export const USER_GROUPS: ItemKind = {
  list: "user_groups",
  title: "remote.user_groups",
  lead: "remote.user_groups_lead",
  columns: ["priority", "pool", "sessions_per_user", "login"],
  fresh: { name: "" },
  action: "users_edit",
  csv: true,
  fields: [
    named,
    { key: "priority", label: "remote.priority", hint: "remote.priority_hint", kind: "number" },
    { key: "pool", label: "remote.pool", kind: "one", from: ["pools"], optional: true },
    { key: "sessions_per_user", label: "remote.per_user", hint: "form.zero", kind: "number" },
    { key: "beyond", label: "remote.beyond", kind: "choice", values: ["refuse", "replace"], texts: "remote.beyond." },
    { key: "device_policy", label: "remote.device_policy", kind: "one", from: ["device_policies"], optional: true },
    { key: "source_prefixes", label: "remote.sources", kind: "words" },
    { key: "login", label: "remote.hours", kind: "words", example: "mon-fri 09:00-17:30" },
    { key: "everyone", label: "remote.everyone", kind: "flag" },
    memo,
  ],
};
export const POOLS: ItemKind = {
  list: "pools",
  title: "remote.pools",
  lead: "remote.pools_lead",
  columns: ["tunnel", "ranges"],
  fresh: { name: "", tunnel: "" },
  action: "access_edit",
  fields: [
    named,
    { key: "tunnel", label: "remote.tunnel", kind: "one", from: ["ports"] },
    { key: "ranges", label: "remote.ranges", kind: "words", wide: true, example: "10.99.4.0/24" },
  ],
};
const PPP = ["mschapv2", "eap-mschapv2", "eap-tls", "eap-radius", "pap", "chap"];
const pems = (key: string, label: Key): Field => ({ key, label, kind: "pems", wide: true });
export const GATEWAYS: ItemKind = {
  list: "gateways",
  title: "page.gateways",
  lead: "gateways.none",
  columns: [],
  fresh: { name: "", port: "", tunnel: "", identity: "" },
  action: "access_edit",
  fields: [
    named,
    { key: "identity", label: "gateways.identity", hint: "gateways.identity_hint", kind: "text", example: "vpn.example.com" },
    { key: "addresses", label: "gateways.addresses", kind: "words", example: "203.0.113.30" },
    { key: "port", label: "gateways.port", kind: "one", from: "outer" },
    { key: "tunnel", label: "remote.tunnel", kind: "one", from: ["ports"] },
    { key: "default_group", label: "gateways.default_group", kind: "one", from: ["user_groups"], optional: true },
    { key: "protocols", label: "gateways.protocols", kind: "title" },
    {
      key: "accept",
      label: "gateways.accept_ikev2",
      hint: "gateways.accept_ikev2_hint",
      kind: "words",
      values: ["certificate", "eap-tls", "eap-mschapv2", "eap-radius", "psk"],
      only: true,
      wide: true,
    },
    {
      key: "profile",
      label: "gateways.suites",
      kind: "choice",
      values: ["modern", "certified", "windows-default", "legacy"],
      texts: "suite.",
    },
    { key: "legacy", label: "gateways.legacy", hint: "gateways.legacy_hint", kind: "door", fresh: {}, wide: true },
    { key: "legacy.owner", label: "gateways.legacy_owner", kind: "text", within: "legacy" },
    { key: "legacy.valid_until", label: "gateways.legacy_until", kind: "text", example: "2026-12-31", within: "legacy" },
    { key: "radius", label: "gateways.radius", kind: "words", from: ["radius"], only: true },
    { key: "sstp", label: "gateways.sstp", kind: "door", fresh: {}, wide: true },
    { key: "sstp.accept", label: "gateways.accept_sstp", kind: "words", values: PPP, only: true, wide: true, within: "sstp" },
    { key: "l2tp", label: "gateways.l2tp", kind: "door", fresh: {}, wide: true },
    { key: "l2tp.accept", label: "gateways.accept_l2tp", kind: "words", values: PPP, only: true, within: "l2tp" },
    { key: "l2tp.keys", label: "gateways.psk", hint: "gateways.psk_hint", kind: "psk", within: "l2tp" },
    { key: "l2tp.certificates", label: "gateways.l2tp_certificates", kind: "flag", wide: true, within: "l2tp" },
    { key: "pptp", label: "gateways.pptp", hint: "gateways.pptp_hint", kind: "door", fresh: {}, wide: true },
    { key: "pptp.owner", label: "gateways.pptp_owner", kind: "text", within: "pptp" },
    { key: "pptp.valid_until", label: "rules.valid_until", kind: "text", example: "2026-12-31 22:00", within: "pptp" },
    { key: "clients", label: "gateways.clients", kind: "title" },
    { key: "networks", label: "gateways.networks", hint: "gateways.networks_hint", kind: "words", example: "10.20.0.0/16" },
    { key: "dns", label: "gateways.dns", kind: "words", example: "10.20.0.53" },
    { key: "dns_domains", label: "gateways.domains", kind: "words", example: "corp.example.com" },
    { key: "idle_seconds", label: "gateways.idle", hint: "form.zero", kind: "number" },
    { key: "session_seconds_max", label: "gateways.longest", hint: "form.zero", kind: "number" },
    { key: "refuse_if_no_permit", label: "gateways.no_permit", kind: "flag", wide: true },
    { key: "proofs", label: "gateways.certificates", kind: "title" },
    pems("certificates", "gateways.own"),
    { ...pems("keys", "gateways.keys"), hint: "gateways.keys_hint" },
    pems("gateway_cas", "gateways.gateway_cas"),
    pems("client_cas", "gateways.client_cas"),
    pems("device_cas", "gateways.device_cas"),
    pems("crls", "gateways.crls"),
  ],
};
export const DEVICES: ItemKind = {
  list: "devices",
  title: "remote.devices",
  lead: "remote.devices_lead",
  columns: ["label", "owner", "certificates", "state", "valid_until"],
  fresh: { name: "" },
  action: "users_edit",
  csv: true,
  fields: [
    { ...named, label: "remote.device_id" },
    { key: "label", label: "remote.device_label", kind: "text" },
    { key: "owner", label: "remote.owner", kind: "one", from: ["users"], optional: true },
    { key: "owner_group", label: "remote.owner_group", kind: "one", from: ["user_groups"], optional: true },
    { key: "certificates", label: "remote.serials", kind: "words", wide: true },
    { key: "state", label: "form.state", kind: "choice", values: ["approved", "requested", "disabled"], texts: "device." },
    { key: "valid_until", label: "rules.valid_until", kind: "text", example: "2026-12-31 22:00" },
    { key: "group", label: "remote.device_group", kind: "text" },
    { key: "os", label: "remote.os", kind: "text" },
    memo,
  ],
};
export const DEVICE_POLICIES: ItemKind = {
  list: "device_policies",
  title: "remote.device_policies",
  lead: "remote.device_policies_lead",
  columns: ["unknown", "memo"],
  fresh: { name: "" },
  action: "users_edit",
  fields: [
    named,
    { key: "unknown", label: "remote.unknown", kind: "choice", values: ["deny", "allow", "request"], texts: "remote.unknown." },
    memo,
  ],
};

/** Words a field may take from the document. */
export function words_of(document: Document, from: Source): string[] {
  if (from === "zones") return document.zones ?? [];
  if (from === "outer") return (document.ports ?? []).filter((port) => port["kind"] !== "tunnel").map((port) => port.name);
  return from.flatMap((list) =>
    ((document[list] as NamedItem[] | undefined) ?? [])
      .filter((item) => list !== "ports" || item["kind"] === "tunnel")
      .map((item) => item.name),
  );
}
export const NOTIFICATIONS: ItemKind = {
  list: "notifications",
  title: "page.notifications",
  lead: "notify.lead",
  columns: ["mail", "webhook", "events"],
  fresh: { name: "" },
  action: "access_edit",
  fields: [
    named,
    { key: "mail", label: "notify.mail", kind: "words", wide: true, example: "ops@example.com" },
    {
      key: "webhook",
      label: "notify.webhook",
      hint: "notify.webhook_hint",
      kind: "text",
      wide: true,
      example: "https://hook.example.com/unit",
    },
    { key: "signing_key", label: "notify.key", hint: "notify.key_hint", kind: "text" },
    { key: "ca", label: "notify.ca", kind: "area", wide: true },
    {
      key: "events",
      label: "notify.events",
      hint: "notify.events_hint",
      kind: "words",
      wide: true,
      example: "incident, commit, device_request",
    },
    { key: "details", label: "notify.details", hint: "notify.details_hint", kind: "flag" },
  ],
};
export const LOG_EXPORTS: ItemKind = {
  list: "log_exports",
  title: "page.exports",
  lead: "exports.lead",
  columns: ["kind", "address", "types", "enabled"],
  fresh: { name: "", kind: "syslog" },
  action: "access_edit",
  fields: [
    named,
    { key: "kind", label: "collectors.kind", kind: "choice", values: ["syslog", "https", "ipfix"], texts: "exports.kind." },
    { key: "address", label: "exports.address", kind: "text", example: "198.51.100.20" },
    { key: "port", label: "exports.port", hint: "exports.port_hint", kind: "number" },
    { key: "transport", label: "exports.transport", kind: "choice", values: ["tls", "tcp", "udp"], texts: "exports.transport." },
    { key: "server_name", label: "exports.server_name", kind: "text", example: "siem.example.com" },
    {
      key: "types",
      label: "exports.types",
      hint: "exports.types_hint",
      kind: "words",
      wide: true,
      example: "comm, sec, vpn, acl, devauth, audit, loss",
    },
    { key: "path", label: "exports.path", kind: "text", example: "/records" },
    { key: "token", label: "exports.token", kind: "text" },
    { key: "cas", label: "exports.cas", kind: "pems", wide: true },
    { key: "certificate", label: "exports.certificate", kind: "area", wide: true },
    { key: "key", label: "exports.key", kind: "area", wide: true },
    { key: "enabled", label: "rules.enabled", kind: "flag" },
    memo,
  ],
};
