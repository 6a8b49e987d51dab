// SPDX-License-Identifier: Apache-2.0
// Bodies of the management API (base/proto/api.proto, docs/api.md). A field at its default is absent in JSON.

export interface Finding {
  severity: "error" | "warning";
  path?: string;
  message: string;
}
export interface ApiFailure {
  code: string;
  message: string;
  path?: string;
  findings?: Finding[];
}

export interface Banner {
  text?: string;
  product?: string;
  version?: string;
  password_rule?: string;
}
export interface LoginReply {
  me: Me;
  csrf: string;
}
export interface Me {
  account: string;
  role: string;
  display_name?: string;
  tenants?: string[];
  may?: string[];
  with_consent?: string[];
  must?: string;
  csrf?: string;
  idle_end?: string;
  end?: string;
  totp?: boolean;
  last_login?: string;
  last_source?: string;
  failures_since?: number;
}
export interface TotpSecret {
  secret: string;
  uri: string;
}
export interface LoginSession {
  source: string;
  since: string;
  last: string;
  current?: boolean;
}
export interface LoginSessionList {
  sessions?: LoginSession[];
}

export interface TenantEntry {
  service_code: string;
  name: string;
  by_consent?: boolean;
}
export interface TenantList {
  tenants?: TenantEntry[];
}

export interface Series {
  name: string;
  values?: number[];
}
export interface Named {
  name: string;
  value?: number;
}
export interface Dashboard {
  now: string;
  step_seconds: number;
  series?: Series[];
  drops?: Named[];
  rules?: Named[];
  revision?: number;
  waiting_confirmation?: number;
  roll_back_at?: string;
  sessions?: number;
  sessions_max?: number;
  log_lost?: number;
  violations?: number;
  quarantined?: number;
  counting?: boolean;
}
export interface TableColumn {
  key: string;
  title?: string;
  number?: boolean;
}
export interface TableRow {
  cells: Record<string, string>;
}
export interface Table {
  columns?: TableColumn[];
  rows?: TableRow[];
  note?: string;
}

export interface ExplainRequest {
  port: string;
  source: string;
  destination: string;
  protocol: string;
  source_port?: number;
  destination_port?: number;
  tcp_flags?: string;
  icmp_type?: number;
  icmp_code?: number;
  user?: string;
  document?: Document;
}
export interface ExplainedStep {
  stage: string;
  result?: string;
  object?: string;
  detail?: string;
}
export interface ExplainReply {
  revision?: number;
  draft?: boolean;
  verdict: string;
  reason?: string;
  rule?: string;
  steps?: ExplainedStep[];
}

export interface ReachDoor {
  gateway: string;
  group: string;
  pool: string;
  addresses?: string[];
  zone: string;
}
export interface ReachedRule {
  policy: string;
  rule?: string;
  number?: number;
  action: string;
  destination_zones?: string[];
  destination?: string[];
  destination_not?: boolean;
  service?: string[];
  service_not?: boolean;
  device?: boolean;
  device_groups?: string[];
  schedule?: string;
  valid_until?: string;
  part?: boolean;
}
export interface Reach {
  user: string;
  suspended?: boolean;
  groups?: string[];
  doors?: ReachDoor[];
  rules?: ReachedRule[];
}

export interface SelfGateway {
  name: string;
  identity: string;
}
export interface SelfDevice {
  name: string;
  label?: string;
  os?: string;
  state: string;
  valid_until?: string;
}
export interface Self {
  user: string;
  known?: boolean;
  suspended?: boolean;
  password?: boolean;
  groups?: string[];
  gateways?: SelfGateway[];
  devices?: SelfDevice[];
  sessions?: TableRow[];
  note?: string;
}
export interface DeviceRequest {
  name: string;
  label: string;
  os: string;
  serial: string;
  identifier: string;
}
export interface TryLoginRequest {
  gateway: string;
  user: string;
  password: string;
  source: string;
}
export interface TriedStep {
  stage: string;
  result: string;
  object?: string;
}
export interface TryLoginReply {
  admitted?: boolean;
  steps?: TriedStep[];
}

export interface Config {
  revision: number;
  document: Document;
  editable?: string[];
  waiting_confirmation?: number;
  roll_back_at?: string;
}
export interface Change {
  kind: "added" | "removed" | "changed" | "moved";
  path: string;
  before?: string;
  after?: string;
}
export interface CheckReply {
  ok?: boolean;
  findings?: Finding[];
  changes?: Change[];
}
export interface CommitReply {
  revision: number;
  confirm_seconds?: number;
  findings?: Finding[];
  milliseconds?: number;
}
export interface Revision {
  number: number;
  state?: string;
  created?: string;
  comment?: string;
  author?: string;
  copied_from?: number;
}
export interface RevisionList {
  revisions?: Revision[];
  running?: number;
  waiting_confirmation?: number;
  roll_back_at?: string;
}
export interface DiffReply {
  changes?: Change[];
}
export interface File {
  file_name: string;
  text: string;
  media_type?: string;
}
export interface Counted {
  count?: number;
}

export type LogRecord = Record<string, string | number | boolean | (string | number)[]>;
export interface Condition {
  field: string;
  test: "equal" | "prefix" | "contains" | "within" | "range" | "present";
  values: string[];
  negate?: boolean;
}
export interface DownloadState {
  records?: number;
  records_read?: number;
  records_written?: number;
  bytes?: number;
  finished?: boolean;
  manifest?: string;
}
export interface LogExportState {
  name?: string;
  kind?: string;
  up?: boolean;
  waiting?: number;
  lost?: number;
  error?: string;
}
export interface SearchRequest {
  types: string[];
  from?: string;
  to?: string;
  conditions?: Condition[];
  cursor?: string;
  limit?: number;
}
export interface SearchReply {
  records?: LogRecord[];
  cursor?: string;
  partial?: boolean;
}
export interface AuditEntry {
  number: string;
  at: string;
  actor: string;
  role?: string;
  actor_kind?: string;
  source?: string;
  operation: string;
  object?: string;
  result?: string;
  detail?: string;
  request_id?: string;
  tenant?: string;
}
export interface AuditList {
  entries?: AuditEntry[];
  more?: boolean;
}

export interface Account {
  id: string;
  role: string;
  display_name?: string;
  sources?: string[];
  valid_until?: string;
  disabled?: boolean;
  locked?: boolean;
  totp?: boolean;
  invited?: boolean;
  last_login?: string;
  mail?: string;
  sessions?: number;
  certificates?: string[];
  vpn_user?: string;
}
export interface AccountList {
  accounts?: Account[];
  roles?: string[];
}
export interface Invitation {
  account?: Account;
  link: string;
  until?: string;
}
export interface Consent {
  id: string;
  ticket?: string;
  reason?: string;
  granted_by?: string;
  from?: string;
  until?: string;
  edit?: boolean;
  active?: boolean;
  uses?: number;
  last_use?: string;
}
export interface Erasure {
  id: string;
  tenant: string;
  scope: string;
  contract?: string;
  state: string;
  end?: string;
  requested?: string;
  requested_by?: string;
  reason?: string;
  readable_until?: string;
  planned?: string;
  limit?: string;
  erased?: string;
  report?: string;
  late?: boolean;
}
export interface ErasureList {
  erasures?: Erasure[];
}
export interface ConsentList {
  consents?: Consent[];
}
export interface Notice {
  id?: string;
  kind: string;
  state?: string;
  title_en?: string;
  title_ja?: string;
  text_en?: string;
  text_ja?: string;
  from?: string;
  until?: string;
  tenants?: string[];
  changed?: string;
}
export interface NoticeList {
  notices?: Notice[];
}

// The tenant's part of the configuration document (docs/configuration.md): what pages edit. Fields that no page knows are kept as they are.
export interface Rule {
  name: string;
  id?: string;
  action: string;
  source_zones?: string[];
  destination_zones?: string[];
  source?: string[];
  source_not?: boolean;
  destination?: string[];
  destination_not?: boolean;
  service?: string[];
  service_not?: boolean;
  log?: string;
  enabled?: boolean;
  memo?: string;
  schedule?: string;
  strict?: boolean;
  valid_until?: string;
  users?: string[];
}
export interface Policy {
  name: string;
  from?: string[];
  to?: string[];
  default_log?: string;
  rules?: Rule[];
}
export interface NamedItem {
  name: string;
  [field: string]: unknown;
}
export interface Document {
  service_code: string;
  name: string;
  zones?: string[];
  ports?: NamedItem[];
  bindings?: NamedItem[];
  addresses?: NamedItem[];
  address_groups?: NamedItem[];
  services?: NamedItem[];
  service_groups?: NamedItem[];
  schedules?: NamedItem[];
  policies?: Policy[];
  nat?: NamedItem[];
  gateways?: NamedItem[];
  user_groups?: NamedItem[];
  users?: NamedItem[];
  pools?: NamedItem[];
  devices?: NamedItem[];
  device_policies?: NamedItem[];
  radius?: NamedItem[];
  notifications?: NamedItem[];
  log_exports?: NamedItem[];
  [field: string]: unknown;
}
export type ListName =
  | "bindings"
  | "addresses"
  | "address_groups"
  | "services"
  | "service_groups"
  | "schedules"
  | "nat"
  | "gateways"
  | "user_groups"
  | "users"
  | "pools"
  | "devices"
  | "device_policies"
  | "ports"
  | "radius"
  | "notifications"
  | "log_exports";

export interface ApiKey {
  id: string;
  name: string;
  role: string;
  read_only?: boolean;
  sources?: string[];
  valid_until: string;
  certificate?: string;
  certificate_alone?: boolean;
  created_by?: string;
  created?: string;
  last_use?: string;
  last_source?: string;
  expired?: boolean;
}
export interface ApiKeyList {
  keys?: ApiKey[];
  roles?: string[];
}
export interface ApiKeySecret {
  key: ApiKey;
  secret?: string;
}
export interface Approval {
  id: string;
  method: string;
  asked_by: string;
  asked: string;
  state: string;
  decided_by?: string;
  decided?: string;
  comment?: string;
  reason?: string;
  changes?: string[];
  own?: boolean;
  reply?: boolean;
}
export interface ApprovalList {
  approvals?: Approval[];
  four_eyes?: boolean;
  four_eyes_accounts?: boolean;
}
export interface ApprovedReply {
  invitation?: Invitation;
  key?: ApiKeySecret;
}
export interface DeliveryState {
  id: string;
  target?: string;
  webhook?: boolean;
  event: string;
  at: string;
  tries?: number;
  next?: string;
  last_error?: string;
}
export interface DeliveryList {
  deliveries?: DeliveryState[];
  events?: string[];
  relay?: boolean;
  webhooks?: boolean;
}
export interface Clock {
  synchronised?: boolean;
  error_milliseconds?: number;
  last_step?: string;
  last_step_seconds?: number;
}
