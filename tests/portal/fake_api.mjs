// SPDX-License-Identifier: Apache-2.0
// An API of one small world, in memory, in the shapes of docs/api.md: for tests of pages alone. It judges nothing.
import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { join } from "node:path";

export const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; form-action 'none'; " +
  "frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'";
const TYPES = { html: "text/html; charset=utf-8", js: "text/javascript", css: "text/css", svg: "image/svg+xml" };
const TENANT = "mfw00001234";
const ALL = [
  "contract_view",
  "erasure_view",
  "erase",
  "accounts_manage",
  "rules_view",
  "rules_edit",
  "commit",
  "users_view",
  "users_edit",
  "access_edit",
  "bindings_view",
  "quarantine_end",
  "sessions_end",
  "logs_read",
  "log_exports",
  "audit_read",
  "backup",
  "consent",
  "erasure_request",
  "notifications",
];
const OPERATOR = [
  "platform_view",
  "platform_edit",
  "staff_manage",
  "platform_audit",
  "contract_view",
  "bindings_view",
  "quarantine_end",
  "erasure_view",
  "erase",
];
export const NOW = Date.parse("2026-11-27T04:30:00Z");
const at = (minutes) => new Date(NOW + minutes * 60_000).toISOString();

const erasures = () => [
  {
    id: "e1",
    tenant: "mfw00001234",
    scope: "remote_access",
    contract: "remote_access",
    state: "requested",
    end: at(3 * 24 * 60),
    requested: at(-60),
    requested_by: "yamada@mfw00001234",
    reason: "拠点の統合",
    readable_until: "2026-12-30",
    planned: "2027-01-06",
    limit: "2027-01-14",
  },
  {
    id: "e2",
    tenant: "mfw00001234",
    scope: "remote_access",
    contract: "remote_access",
    state: "erased",
    end: at(-60 * 24 * 60),
    requested_by: "ops",
    readable_until: "2026-10-28",
    planned: "2026-11-04",
    limit: "2026-11-12",
    erased: at(-23 * 24 * 60),
    report: '{"report":"erasure"}',
  },
];

export function world() {
  const rule = (name, action, source, destination, service, rest = {}) => ({
    name,
    id: `00000000-0000-4000-8000-${String(name.length).padStart(12, "0")}`,
    action,
    source,
    destination,
    service,
    ...rest,
  });
  return {
    revision: 42,
    waiting: 0,
    roll_back_at: null,
    role: "owner",
    password: "correct horse battery",
    code: "123456",
    must: "",
    sent: [],
    document: {
      service_code: TENANT,
      name: "株式会社サンプル商事",
      zones: ["internet", "dmz", "office", "remote"],
      ports: [
        { name: "inet0", kind: "share", zone: "internet" },
        { name: "dmz0", kind: "segment", zone: "dmz", enforcement: "segment" },
        { name: "lan0", kind: "segment", zone: "office" },
        { name: "ra0", kind: "tunnel", zone: "remote" },
      ],
      addresses: [
        { name: "公開Web", entries: ["203.0.113.17", "2001:db8:a::17"] },
        { name: "社内網", entries: ["10.20.0.0/16", "fd00:20::/48"] },
        { name: "基幹サーバ", entries: ["10.20.8.0/24"] },
        { name: "管理網", entries: ["10.20.9.0/24"] },
        { name: "branch-osaka", entries: ["10.31.0.0/16"] },
      ],
      address_groups: [{ name: "拠点すべて", members: ["社内網", "branch-osaka"], exclude: ["管理網"] }],
      services: [
        { name: "https", protocol: "tcp", destination_ports: ["443"] },
        { name: "http", protocol: "tcp", destination_ports: ["80"] },
        { name: "ssh", protocol: "tcp", destination_ports: ["22"] },
        { name: "ping", protocol: "icmp", icmp: [{ type: 8, code: 0 }] },
        { name: "dns", protocol: "udp", destination_ports: ["53"] },
      ],
      service_groups: [{ name: "Web系", members: ["http", "https"] }],
      schedules: [{ name: "営業時間", weekly: ["mon-fri 09:00-17:30"] }],
      log_exports: [
        { name: "siem", kind: "syslog", address: "198.51.100.20", cas: ["-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"] },
      ],
      policies: [
        {
          name: "inet-in",
          from: ["internet"],
          to: ["dmz"],
          rules: [
            rule("公開Web許可", "allow", [], ["公開Web"], ["Web系"], { log: "both", memo: "変更依頼#204" }),
            rule("既知の攻撃元", "drop", ["branch-osaka"], [], [], { enabled: false }),
            rule("SSH は拒否する", "reject", [], [], ["ssh"], { log: "each" }),
          ],
        },
        {
          name: "office-out",
          from: ["office"],
          to: ["internet"],
          rules: [
            rule("社内からWeb", "allow", ["拠点すべて"], [], ["Web系"]),
            rule("DNS only to ours", "allow", ["社内網"], [], ["dns"]),
            rule("夜間は止める", "drop", [], [], [], { schedule: "営業時間", source_not: true, source: ["管理網"] }),
          ],
        },
        {
          name: "remote",
          from: ["remote"],
          to: ["office"],
          rules: [
            rule("営業→基幹", "allow", [], ["基幹サーバ"], ["Web系"], { users: ["営業部"] }),
            rule("情シス→管理", "allow", [], ["管理網"], ["ssh"], { users: ["情シス"] }),
          ],
        },
      ],
      nat: [
        { name: "社内の出口", kind: "napt", source: ["社内網"], translated: ["203.0.113.20"], log: "end" },
        {
          name: "Web の公開",
          kind: "dnat",
          destination: ["公開Web"],
          service: ["https"],
          translated: ["10.20.0.10"],
          translated_port: 8443,
        },
      ],
      gateways: [
        {
          name: "東京GW",
          addresses: ["203.0.113.30"],
          port: "inet0",
          tunnel: "ra0",
          identity: "vpn.example.co.jp",
          profile: "windows-default",
          accept: ["eap-mschapv2", "eap-tls"],
          networks: ["10.20.0.0/16"],
          dns: ["10.20.0.53"],
          certificates: ["-----"],
          client_cas: ["-----"],
          crls: [],
        },
      ],
      user_groups: [
        { name: "営業部", priority: 20, pool: "sales-pool", login: ["mon-fri 07:00-22:00"] },
        { name: "情シス", priority: 10, pool: "sales-pool", sessions_per_user: 2, device_policy: "標準端末" },
      ],
      users: [
        { name: "t.suzuki", groups: ["営業部"], nt_hash: "(set)" },
        { name: "k.sato", groups: ["営業部", "情シス"], nt_hash: "(set)", memo: "出張中" },
        { name: "y.tanaka", groups: ["情シス"], suspended: true },
      ],
      pools: [{ name: "sales-pool", tunnel: "ra0", ranges: ["10.99.4.0/24", "2001:db8:99:4::/112"] }],
      devices: [
        {
          name: "dev-0007f3",
          label: "NB-1093",
          owner: "t.suzuki",
          certificates: ["00a1b2c3d4e5f60718"],
          os: "Windows 11",
          group: "会社貸与PC",
        },
        { name: "dev-0007f4", label: "NB-1101", owner: "k.sato", certificates: ["00a1b2c3d4e5f60719"], state: "requested" },
      ],
      device_policies: [{ name: "標準端末", unknown: "deny" }],
    },
  };
}

const table = (rows, note = "") => ({
  columns: Object.keys(rows[0] ?? {}).map((key) => ({ key, title: key, number: false })),
  rows: rows.map((row) => ({ cells: Object.fromEntries(Object.entries(row).map(([key, value]) => [key, String(value)])) })),
  note,
});
const wave = (length, base, swing, shift = 0) =>
  Array.from({ length }, (_, i) =>
    Math.max(0, base + swing * Math.sin((i + shift) / 5) + swing * 0.4 * Math.sin((i + shift) * 1.7)),
  );

function dashboard(state, seconds) {
  const n = Math.min(120, seconds / 5);
  return {
    now: at(0),
    step_seconds: seconds / n,
    counting: true,
    revision: state.revision,
    waiting_confirmation: state.waiting,
    roll_back_at: state.roll_back_at,
    sessions: 1243,
    sessions_max: 20000,
    log_lost: 0,
    violations: 56,
    quarantined: 1,
    series: [
      ["bits_in", 42e6, 9e6],
      ["bits_out", 18e6, 5e6],
      ["packets_in", 9400, 1500],
      ["packets_out", 7200, 1300],
      ["drops", 34, 21],
      ["sessions", 1210, 60],
      ["connections", 118, 30],
      ["vpn_sessions", 17, 2],
    ]
      .filter(([name]) => state.metrics !== false || !/^(bits|packets)_/.test(name))
      .map(([name, base, swing], index) => ({ name, values: wave(n, base, swing, index * 7) })),
    drops: [
      ["default-deny", 10412],
      ["ae-arp-spa", 560],
      ["rule-reject", 312],
      ["tcp-state", 97],
      ["ae-ip4", 56],
      ["ttl-exceeded", 12],
    ].map(([name, value]) => ({ name, value })),
    rules: [
      ["inet-in/公開Web許可", 90211],
      ["office-out/社内からWeb", 55210],
      ["remote/営業→基幹", 4120],
      ["office-out/DNS only to ours", 3110],
    ].map(([name, value]) => ({ name, value })),
  };
}

function records(types, from) {
  const comm = (i) => ({
    v: 1,
    type: "comm",
    ts: at(-from - i),
    svc: TENANT,
    node: "u0",
    seq: 884213 - from - i,
    eid: `e-${from}-${i}`,
    rev: 42,
    sev: 6,
    phase: i % 3 ? "end" : "drop",
    action: i % 3 ? "allow" : "drop",
    reason: i % 3 ? "rule" : "default",
    dir: "in",
    in_if: "inet0",
    in_zone: "internet",
    ip_ver: 4,
    proto: i % 4 ? 6 : 17,
    src_ip: "203.0.113.77",
    src_port: 51544 + i,
    dst_ip: "203.0.113.17",
    dst_port: i % 3 ? 443 : 161,
    rule_name: i % 3 ? "公開Web許可" : "既定拒否",
    rule_no: i % 3,
    policy: "inet-in",
    bytes_fwd: 4249,
    bytes_rev: 91822,
    count: 1 + (i % 5),
    sample_n: 1,
  });
  const sec = (i) => ({
    v: 1,
    type: "sec",
    ts: at(-from - i),
    svc: TENANT,
    node: "u0",
    seq: 1207 - i,
    eid: `s-${from}-${i}`,
    event: i % 2 ? "AE_IP4" : "AE_ARP_SPA",
    cat: "address",
    action: "dropped",
    first_ts: at(-i - 1),
    last_ts: at(-i),
    count: 56 - i,
    binding: "web01-eth0",
    eth_src: "52:54:00:12:34:56",
    arp_spa: "10.20.0.1",
    msg: "ARP sender address is not assigned to this port",
  });
  const vpn = (i) => ({
    v: 1,
    type: "vpn",
    ts: at(-from - i),
    seq: 5521 - i,
    eid: `v-${from}-${i}`,
    event: i % 4 ? "up" : "auth_fail",
    result: i % 4 ? "ok" : "fail",
    user: "t.suzuki",
    proto: "ikev2",
    peer_ip: "203.0.113.201",
    ip4: "10.99.4.27",
    cause: i % 4 ? "" : "auth",
  });
  return Array.from({ length: 100 }, (_, i) =>
    types.includes("sec") && (types.length === 1 || i % 3 === 1)
      ? sec(i)
      : types.includes("vpn") && (types.length === 1 || i % 3 === 2)
        ? vpn(i)
        : comm(i),
  );
}

const ACCOUNTS = [
  {
    id: `yamada@${TENANT}`,
    role: "owner",
    display_name: "山田 花子",
    sources: ["198.51.100.0/24"],
    totp: true,
    last_login: at(-12),
    sessions: 1,
  },
  {
    id: `ops-ito@${TENANT}`,
    role: "rule",
    display_name: "伊藤 健",
    sources: [],
    totp: true,
    locked: true,
    last_login: at(-3000),
  },
  { id: `audit@${TENANT}`, role: "log", display_name: "", sources: [], invited: true },
];

const methods = {
  "GET banner": () => ({
    text: "許可された利用者以外のアクセスを禁じます。操作はすべて記録されます。 Authorised use only; everything is recorded.",
    product: "Sekisho",
    version: "0.1",
    password_rule: "12 3",
  }),
  "POST login": (state, { body, fail }) =>
    body.password !== state.password
      ? fail(401, "unauthenticated", "account, password or code is wrong")
      : !body.code
        ? fail(401, "code_needed", "the code is needed")
        : body.code !== state.code
          ? fail(401, "unauthenticated", "account, password or code is wrong")
          : ((state.in = true), { me: me(state), csrf: "c" }),
  "POST login/link": (state) => {
    state.in = true;
    state.must = "password";
    return { me: me(state), csrf: "c" };
  },
  "POST logout": (state) => {
    state.in = false;
    return {};
  },
  "GET me": (state, { fail }) => (state.in ? me(state) : fail(401, "unauthenticated", "sign in")),
  "POST me/password": (state) => {
    if (state.must) state.must = "totp";
    return me(state);
  },
  "POST me/totp": () => ({
    secret: "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP",
    uri: "otpauth://totp/Sekisho:yamada?secret=JBSWY3DPEHPK3PXP",
  }),
  "POST me/totp/confirm": (state) => {
    state.must = "";
    return me(state);
  },
  "GET me/sessions": () => ({
    sessions: [
      { source: "198.51.100.200", since: at(-12), last: at(0), current: true },
      { source: "198.51.100.7", since: at(-300), last: at(-280) },
    ],
  }),
  "GET tenants": (state) => ({
    tenants: state.role.startsWith("p-")
      ? [{ service_code: TENANT, name: state.document.name, by_consent: true }]
      : [{ service_code: TENANT, name: state.document.name }],
  }),
  "GET T/dashboard": (state, { query }) => dashboard(state, Number(query.get("seconds"))),
  "GET T/rules": (state) =>
    table(
      state.document.policies.flatMap((policy) =>
        policy.rules.map((rule, i) => ({
          policy: policy.name,
          number: i + 1,
          name: rule.name,
          connections: 90211 - 1000 * i,
          packets: 1,
          bytes: 1,
          last_hit: "2026-11-27 13:29:58",
          id: "",
        })),
      ),
    ),
  "GET T/nat": () =>
    table([
      { name: "社内の出口", connections: 55210, sessions: 812 },
      { name: "Web の公開", connections: 90211, sessions: 74 },
    ]),
  "GET T/bindings": () =>
    table([
      {
        name: "web01-eth0",
        port: "dmz0",
        state: "quarantined",
        pairs: "52:54:00:12:34:56 10.20.0.10/32, 52:54:00:12:34:56 2001:db8:100::10/128",
        violations: 56,
      },
      { name: "erp01-eth0", port: "lan0", state: "active", pairs: "52:54:00:12:34:57 10.20.8.15/32", violations: 0 },
    ]),
  "POST T/bindings/web01-eth0/release": () => ({}),
  "GET T/sessions": () =>
    table(
      Array.from({ length: 12 }, (_, i) => ({
        flow_id: `f${i}`,
        protocol: "tcp",
        source: `203.0.113.${i}:5${i}123`,
        destination: "203.0.113.17:443",
        state: "established",
        rule: "公開Web許可",
        packets_forward: 20 * i,
        packets_reverse: 71 * i,
        bytes_forward: 4249 * i,
        bytes_reverse: 91822 * i,
        age_ms: 43140 * i,
      })),
    ),
  "POST T/explain": (state, { body }) => ({
    revision: state.revision,
    draft: !!body.document,
    verdict: body.destination_port === 22 ? "reject" : "allow",
    reason: "",
    rule: body.destination_port === 22 ? "SSH は拒否する" : "公開Web許可",
    steps: [
      ["decode", "ok", "", "IPv4 TCP 203.0.113.77:49152 > 203.0.113.17:443 S"],
      ["binding", "ok", "", "not enforced here"],
      ["session", "none", "", ""],
      ["rule", body.destination_port === 22 ? "reject" : "allow", "inet-in / 公開Web許可", "number 1"],
      ["route", "ok", "dmz0", "10.20.0.0/24"],
      ["nat", "dnat", "Web の公開", "10.20.0.10:8443"],
      ["forward", "sent", "dmz0", ""],
    ].map(([stage, result, object, detail]) => ({ stage, result, object, detail })),
  }),
  "GET T/config": (state) => ({
    revision: state.revision,
    document: state.document,
    editable: state.role === "read" ? [] : [
      "policies",
      "addresses",
      "address_groups",
      "services",
      "service_groups",
      "schedules",
      "nat",
      "users",
      "user_groups",
      "devices",
      "device_policies",
      "gateways",
      "pools",
      "notifications",
      "log_exports",
      "sign_in",
    ],
    waiting_confirmation: state.waiting,
    roll_back_at: state.roll_back_at,
  }),
  "POST T/config/check": (state, { body }) => state.refuse_check ? { ok: false, findings: [{ severity: "error", path: "document.addresses[0]", message: "host bits are set" }] } : ({
    ok: true,
    findings: [
      {
        severity: "warning",
        path: "document.policies[0].rules[2]",
        message: 'no packet reaches it: rule 1 "公開Web許可" takes them all',
      },
    ],
    changes:
      JSON.stringify(body.document) === JSON.stringify(state.document)
        ? []
        : [
            { kind: "moved", path: "policies[inet-in].rules[SSH は拒否する]", before: "3", after: "1" },
            { kind: "added", path: "policies[inet-in].rules[監視]", before: "", after: "allow 社内網 → any ping" },
            { kind: "changed", path: "addresses[公開Web].entries", before: "203.0.113.17", after: "203.0.113.18" },
            { kind: "removed", path: "services[dns]", before: "udp 53", after: "" },
          ],
  }),
  "POST T/config/commit": (state, { body, headers, fail }) => {
    if (headers["if-match"] !== `"${state.revision}"`) return fail(412, "precondition", "revision 43 is in force");
    state.document = body.document;
    state.revision += 1;
    if (body.confirm_seconds) {
      state.waiting = state.revision;
      state.roll_back_at = new Date(Date.now() + body.confirm_seconds * 1000).toISOString();
    }
    return { revision: state.revision, confirm_seconds: body.confirm_seconds, findings: [], milliseconds: 12.5 };
  },
  "POST T/config/confirm": (state) => {
    state.waiting = 0;
    state.roll_back_at = null;
    return { revision: state.revision };
  },
  "GET T/config/revisions": (state) => ({
    running: state.revision,
    waiting_confirmation: state.waiting,
    roll_back_at: state.roll_back_at,
    revisions: [0, 1, 2, 3].map((i) => ({
      number: state.revision - i,
      state: i ? "superseded" : "running",
      created: at(-i * 700),
      comment: ["変更依頼#204", "open https", "", "first"][i],
      author: "yamada",
      copied_from: 0,
    })),
  }),
  "GET T/config/diff": () => ({
    changes: [{ kind: "changed", path: "policies[inet-in].rules[公開Web許可].log", before: "end", after: "both" }],
  }),
  "POST T/config/export": () => ({ file_name: `${TENANT}.json`, text: "{}" }),
  "GET T/vpn/users": () =>
    table([
      { user: "t.suzuki", groups: "営業部", state: "in", sessions: 1, address: "10.99.4.27" },
      { user: "k.sato", groups: "営業部", state: "shut out", sessions: 0, address: "" },
    ]),
  "GET T/vpn/sessions": () =>
    table([
      {
        vpn_sid: "a71c00e94b2d1f08",
        user: "t.suzuki",
        user_group: "営業部",
        gateway: "東京GW",
        peer: "203.0.113.201:4500",
        ip4: "10.99.4.27",
        ip6: "2001:db8:99:4::1b",
        since: "2026-11-27 10:17:21",
        client: "Windows 11",
        ike_suite: "AES256-GCM16/PRFSHA384/ECP384",
        state: "up",
      },
    ]),
  "POST T/vpn/disconnect": () => ({ count: 1 }),
  "POST T/vpn/unlock": () => ({ count: 1 }),
  "GET T/vpn/reach": (state, { query, fail }) =>
    query.get("user") === "t.suzuki"
      ? {
          user: "t.suzuki",
          groups: ["営業部"],
          doors: [{ gateway: "東京GW", group: "営業部", pool: "sales-pool", addresses: ["10.99.4.0/24"], zone: "ra" }],
          rules: [
            { policy: "RA", rule: "営業サーバ", number: 1, action: "allow", destination: ["公開Web"], service: ["HTTPS"], schedule: "平日", device: true },
            { policy: "RA", rule: "保守を除く", number: 4, action: "reject", destination: ["社内網"], destination_not: true, part: true },
            { policy: "RA", action: "drop", destination_zones: ["lan"] },
          ],
        }
      : fail(404, "not_found", "there is no such thing"),
  "GET T/self": (state) => ({
    user: "t.suzuki",
    known: true,
    suspended: false,
    password: true,
    groups: ["営業部"],
    gateways: [{ name: "東京GW", identity: "vpn.example.jp", addresses: ["203.0.113.21"] }],
    devices: [{ name: "pc-0042", label: "机の PC", os: "Windows 11", state: "approved", valid_until: "" }, ...(state.devices ?? [])],
    sessions: state.ended
      ? []
      : [{ cells: { vpn_sid: "0000000000abc005", user: "t.suzuki", peer: "198.51.100.9", ip4: "10.99.4.7", gateway: "東京GW", client: "Windows", since: "2026-11-27 09:12" } }],
    note: "",
  }),
  "POST T/self/password": (state) => ({ revision: state.revision, findings: [] }),
  "POST T/self/devices": (state, { body }) => {
    state.devices = [{ name: body.name, label: body.label, os: body.os, state: "requested", valid_until: "" }];
    return { revision: state.revision, findings: [] };
  },
  "POST T/self/disconnect": (state) => {
    state.ended = true;
    return { count: 1 };
  },
  "GET T/self/profile": () => ({ file_name: "t.suzuki.ps1", text: "Add-VpnConnection", media_type: "text/plain" }),
  "GET T/self/connections": () => ({
    records: [
      { eid: "2", ts: "2026-11-27T00:12:00Z", event: "up", proto: "ikev2", peer_ip: "198.51.100.9", user: "t.suzuki" },
      { eid: "1", ts: "2026-11-27T00:11:00Z", event: "auth_fail", proto: "ikev2", peer_ip: "198.51.100.9", user: "t.suzuki", msg: "authentication: wrong password" },
    ],
    cursor: "",
  }),
  "POST T/vpn/try": (state, { body }) => {
    const right = body.password === "right-password";
    return {
      admitted: right,
      steps: [
        ["gateway", "ok", body.gateway],
        ["backend", "local", ""],
        ...(right
          ? [["password", "right", ""], ["groups", "ok", "営業部"], ["pool", "ok", "sales-pool (営業部)"], ["admission", "ok", "営業部"], ["rules", "reach", ""]]
          : [["password", "wrong", body.user]]),
      ].map(([stage, result, object]) => ({ stage, result, object })),
    };
  },
  "GET T/vpn/profile": () => ({ file_name: "t.suzuki.ps1", text: "Add-VpnConnection" }),
  "POST T/logs/search": (state, { body }) => ({
    records: records(body.types, body.cursor ? Number(body.cursor) : 0),
    cursor: body.cursor ? "" : "100",
    partial: false,
  }),
  "GET T/logs/downloads/tk": () => ({ records: 1, records_read: 1, finished: true, manifest: "{}" }),
  "GET T/logs/exports": () => ({
    exports: [
      { name: "siem", kind: "syslog", up: true, waiting: 0, lost: 0, error: "" },
      { name: "archive", kind: "https", up: false, waiting: 1834, lost: 12, error: "the collector answered 503" },
    ],
  }),
  "GET T/audit": () => audit(),
  "GET platform/audit": () => audit(),
  "GET T/accounts": () => ({ accounts: ACCOUNTS, roles: ["owner", "admin", "rule", "user", "log", "read"] }),
  "GET platform/accounts": () => ({
    accounts: [
      { id: "ops", role: "p-ops", totp: true, last_login: at(-5) },
      { id: "sup-7", role: "p-support", totp: true },
    ],
    roles: ["p-ops", "p-support", "p-audit", "p-sec"],
  }),
  "POST T/accounts": (state, { body, fail }) => state.two ? fail(202, "waiting", "") : ({ account: body.account, link: "c4Hq1x7Zb2", until: at(72 * 60) }),
  "GET T/consents": () => ({
    consents: [
      {
        id: "c1",
        ticket: "INC-2041",
        reason: "通信断の調査",
        granted_by: "yamada",
        from: at(-30),
        until: at(30),
        active: true,
        uses: 3,
        last_use: at(-4),
      },
      { id: "c0", ticket: "INC-1987", reason: "", granted_by: "yamada", from: at(-9000), until: at(-8900) },
    ],
  }),
  "POST T/consents": () => ({ id: "c2" }),
  "GET T/erasures": () => ({ erasures: erasures() }),
  "POST T/erasures": () => erasures()[0],
  "GET platform/erasures": () => ({ erasures: erasures() }),
  "GET T/keys": () => keys("read"),
  "POST T/keys": (state, { body }) => ({ key: { id: "k2", ...body.key }, secret: "sk.k2.Zm9vYmFy" }),
  "GET platform/keys": () => keys("p-audit"),
  "GET T/approvals": () => approvals(),
  "GET platform/approvals": () => approvals(),
  "POST T/approvals/a3/reply": () => ({ invitation: { account: { id: "sato@mfw00001234", role: "read" }, link: "a-link", until: at(4000) } }),
  "GET T/notifications": () => ({
    deliveries: [
      { id: "d1", target: "ops", webhook: false, event: "incident", at: at(-3), tries: 2, next: at(1), last_error: "no TLS with mail.example" },
    ],
    events: ["incident", "commit"],
    relay: true,
    webhooks: false,
  }),
  "POST T/notifications/test": () => ({ count: 1 }),
  "GET platform/clock": () => ({ synchronised: true, error_milliseconds: 1.25 }),
  "GET T/notices": () => notices(),
  "GET platform/notices": () => notices(),
  "POST platform/notices": (state, { body }) => ({ ...body.notice, id: "n9" }),
  "GET platform/config": (state) => ({
    revision: state.revision,
    document: { node: "u0", nics: [{ name: "uplink", device: "net_af_packet6" }], tenants: [] },
  }),
  "POST platform/config/check": () => ({
    ok: true,
    findings: [],
    changes: [{ kind: "changed", path: "nics[uplink].mtu", before: "1500", after: "9000" }],
  }),
  "GET platform/status": () =>
    table(
      [
        ["running revision", 42],
        ["waiting for confirmation", "none"],
        ["generation in force", 42],
        ["forwarding", "yes"],
        ["workers", 2],
        ["sessions", "1243 of 120000"],
        ["packets received", 90812231],
        ["packets sent", 90801002],
        ["packets dropped", 11229],
        ["conservation violations", 0],
        ["version", "0.1.0"],
      ].map(([item, value]) => ({ item, value })),
    ),
  "GET platform/tenants": (state) =>
    table([
      {
        service_code: TENANT,
        name: state.document.name,
        sessions: 1243,
        sessions_guaranteed: 0,
        sessions_max: 20000,
        over_quota: 0,
        ports: 4,
        bindings: 2,
        rules: 8,
        log_lost: 0,
      },
      {
        service_code: "glx00000001",
        name: "globex",
        sessions: 87,
        sessions_guaranteed: 0,
        sessions_max: 20000,
        over_quota: 12,
        ports: 3,
        bindings: 3,
        rules: 5,
        log_lost: 0,
      },
    ]),
};

const audit = () => ({
  more: true,
  entries: [
    ["yamada", "owner", "tenant", "commit", "policy inet-in", "ok", "変更依頼#204"],
    ["sup-7", "p-support", "provider", "access", "rules", "ok", "INC-2041"],
    ["ops-ito", "rule", "tenant", "login_fail", "", "fail", ""],
  ].map(([actor, role, actor_kind, operation, object, result, detail], i) => ({
    number: String(90 - i),
    at: at(-7 * i),
    actor,
    role,
    actor_kind,
    source: "198.51.100.200",
    operation,
    object,
    result,
    detail,
    tenant: TENANT,
  })),
});
const keys = (role) => ({
  keys: [
    { id: "k1", name: "backup", role, read_only: true, sources: ["198.51.100.0/24"], valid_until: at(60 * 24 * 30), created_by: "yamada", last_use: at(-5),
      last_source: "198.51.100.7", certificate: "ab".repeat(32) },
  ],
  roles: [role],
});
const approvals = () => ({
  four_eyes: true,
  four_eyes_accounts: true,
  approvals: [
    { id: "a1", method: "CommitConfig", asked_by: "suzuki", asked: at(-10), state: "waiting", comment: "web を許可", own: false,
      changes: ["changed policies[inet-in].rules[web].action: drop -> allow"] },
    { id: "a2", method: "RollBack", asked_by: "yamada", asked: at(-90), state: "refused", decided_by: "suzuki", decided: at(-80), reason: "late", own: true, changes: [] },
    { id: "a3", method: "AddAccount", asked_by: "yamada", asked: at(-70), state: "done", decided_by: "suzuki", decided: at(-60), own: true, reply: true,
      changes: ['id: "sato"', 'account.role: "read"'] },
  ],
});
const notices = () => ({
  notices: [
    {
      id: "n1",
      kind: "maintenance",
      state: "planned",
      title_en: "Firmware 0.2",
      title_ja: "ファームウェア 0.2 への更新",
      text_en: "Sessions are kept; at most one second of interruption.",
      text_ja: "セッションは維持されます。通信断は最大1秒です。",
      from: at(14 * 1440),
      until: at(14 * 1440 + 300),
      tenants: [],
    },
    {
      id: "n0",
      kind: "incident",
      state: "done",
      title_en: "Delay of log downloads",
      title_ja: "ログのダウンロードの遅延",
      text_en: "Solved.",
      text_ja: "復旧しました。",
      from: at(-9000),
      until: at(-8800),
      tenants: [],
    },
  ],
});
const me = (state) => ({
  account: state.account || (state.role.startsWith("p-") ? "ops" : `yamada@${TENANT}`),
  role: state.role,
  display_name: state.role.startsWith("p-") ? "" : "山田 花子",
  tenants: [TENANT],
  may: state.role === "self" ? ["any_login", "self_service"] : state.role.startsWith("p-") ? OPERATOR : ALL,
  with_consent: ["rules_view", "logs_read"],
  must: state.must,
  csrf: "c",
  totp: true,
  end: at(480),
  last_login: at(-900),
  last_source: "198.51.100.7",
  failures_since: 2,
});

/** Serves the portal of `folder` and the API; `state` is the world it answers from. */
export function start(folder, state = world()) {
  const server = createServer(async (request, response) => {
    const url = new URL(request.url, "http://localhost");
    const reply = (status, body) => {
      response.writeHead(status, { "content-type": "application/json" });
      response.end(JSON.stringify(body));
    };
    if (!url.pathname.startsWith("/api/v1/")) {
      const name = url.pathname === "/" ? "index.html" : url.pathname.slice(1);
      const bytes = await readFile(join(folder, name)).catch(() => null);
      response.writeHead(bytes ? 200 : 404, {
        "content-type": TYPES[name.split(".").pop()] ?? "text/plain",
        "content-security-policy": POLICY,
        "x-content-type-options": "nosniff",
      });
      return response.end(bytes ?? "");
    }
    let text = "";
    for await (const piece of request) text += piece;
    const path = decodeURIComponent(url.pathname.slice("/api/v1/".length)).replace(`tenants/${TENANT}`, "T");
    const body = text ? JSON.parse(text) : {};
    if (request.method !== "GET") state.sent.push({ path, body, headers: request.headers });
    if (path === "T/events") {
      response.writeHead(200, { "content-type": "text/event-stream" });
      const event = (body) => response.write(`event: dashboard\ndata: ${JSON.stringify(body)}\n\n`);
      event(dashboard(state, Number(url.searchParams.get("seconds"))));
      return event({ ...dashboard(state, 600), series: [{ name: "sessions", values: [1301] }] });
    }
    if (path === "T/logs/download") {
      // The first answer breaks half way.
      const [text, offset] = ["v,type\n1,co\n", Number(url.searchParams.get("offset") ?? 0)];
      state.downloads = [...(state.downloads ?? []), url.search];
      response.writeHead(200, {
        "content-type": "text/csv",
        "content-disposition": `attachment; filename="comm-${TENANT}.csv"`,
        "content-length": text.length - offset,
        "x-sekisho-download": "tk",
      });
      if (offset) return response.end(text.slice(offset));
      return response.write(text.slice(0, 7), () => setTimeout(() => response.destroy(), 100));
    }
    const method = methods[`${request.method} ${path}`];
    if (!method) return reply(404, { code: "not_found", message: `no method ${request.method} ${path}` });
    if (request.method !== "GET" && !path.startsWith("login") && request.headers["x-sekisho-csrf"] !== "c")
      return reply(403, { code: "csrf", message: "the header is missing" });
    let failed = null;
    const result = method(state, {
      body,
      query: url.searchParams,
      headers: request.headers,
      fail: (status, code, message) => {
        failed = [status, { code, message, path: "", findings: [] }];
      },
    });
    if (failed) return reply(...failed);
    return reply(200, result);
  });
  return new Promise((ready) =>
    server.listen(0, "127.0.0.1", () =>
      ready({
        state,
        url: `http://127.0.0.1:${server.address().port}`,
        close: () => {
          server.closeAllConnections();
          server.close();
        },
      }),
    ),
  );
}
