// SPDX-License-Identifier: Apache-2.0
// Remote access: gateways, who may come in, and with what.
import { useState } from "preact/hooks";
import { save_blob } from "../api/http";
import { api } from "../api/methods";
import type { NamedItem } from "../api/types";
import { draft } from "../state/draft";
import { may } from "../state/session";
import { useStore } from "../state/store";
import { t, t_or, useLanguage } from "../text/text";
import { Act, Badge, Button, Card, Dialog, Note, PageHead, Tabs, useLoad } from "../ui/basics";
import { SelectField, TextField } from "../ui/fields";
import { ItemList } from "../ui/item_list";
import { DEVICES, DEVICE_POLICIES, POOLS, USERS, USER_GROUPS } from "./kinds";

const CLIENTS = ["windows", "apple", "android", "strongswan", "networkmanager"];
const words = (item: NamedItem, key: string): string[] => ((item[key] as unknown[] | undefined) ?? []).map(String);

export function Gateways() {
  useLanguage();
  const { document } = useStore(draft)!;
  const [profile, set_profile] = useState<string | null>(null);
  const gateways = document.gateways ?? [];
  return (
    <>
      <PageHead title={t("page.gateways")} lead={t("gateways.lead")} />
      <div class="stack">
        {!gateways.length && (
          <Card>
            <p class="empty">{t("gateways.none")}</p>
          </Card>
        )}
        <div class="grid">
          {gateways.map((gateway) => (
            <Card
              key={gateway.name}
              title={gateway.name}
              tools={
                <Button look="quiet" icon="download" onClick={() => set_profile(gateway.name)}>
                  {t("gateways.profile")}
                </Button>
              }
            >
              <dl class="facts">
                <dt>{t("gateways.identity")}</dt>
                <dd class="mono">{String(gateway["identity"] ?? "")}</dd>
                <dt>{t("gateways.addresses")}</dt>
                <dd class="mono">{words(gateway, "addresses").join(", ")}</dd>
                <dt>{t("gateways.suites")}</dt>
                <dd>
                  <Badge tone={["legacy", "windows-default"].includes(String(gateway["profile"])) ? "warn" : "good"}>
                    {t_or(`suite.${String(gateway["profile"] ?? "modern")}`, String(gateway["profile"]))}
                  </Badge>
                </dd>
                <dt>{t("gateways.accept")}</dt>
                <dd class="clauses">
                  {words(gateway, "accept").map((one) => (
                    <Badge key={one}>{one}</Badge>
                  ))}
                </dd>
                <dt>{t("gateways.networks")}</dt>
                <dd class="mono">{words(gateway, "networks").join(", ") || t("rules.any")}</dd>
                <dt>{t("gateways.dns")}</dt>
                <dd class="mono">{[...words(gateway, "dns"), ...words(gateway, "dns_domains")].join(", ") || "–"}</dd>
                <dt>{t("gateways.certificates")}</dt>
                <dd>
                  {words(gateway, "certificates").length} · CA {words(gateway, "client_cas").length} · CRL{" "}
                  {words(gateway, "crls").length}
                </dd>
              </dl>
            </Card>
          ))}
        </div>
        <ItemList kind={POOLS} />
      </div>
      {profile && <ProfileDialog gateway={profile} onClose={() => set_profile(null)} />}
    </>
  );
}

function ProfileDialog({ gateway, onClose }: { gateway: string; onClose: () => void }) {
  const { tenant, document } = useStore(draft)!;
  const [client, set_client] = useState("windows");
  const [user, set_user] = useState("");
  return (
    <Dialog
      title={t("gateways.profile")}
      onClose={onClose}
      foot={
        <>
          <Button onClick={onClose}>{t("act.cancel")}</Button>
          <Act
            look="lead"
            icon="download"
            disabled={!user}
            run={async () => {
              const file = await api.vpn_profile(tenant, gateway, user, client);
              save_blob(file.file_name, new Blob([file.text]));
            }}
          >
            {t("act.download")}
          </Act>
        </>
      }
    >
      <div class="form">
        <p class="wide soft">{t("gateways.profile_text")}</p>
        <SelectField
          label={t("gateways.client")}
          value={client}
          onChange={set_client}
          options={CLIENTS.map((value) => ({ value, text: t_or(`client.${value}`, value) }))}
        />
        <TextField
          label={t("remote.user")}
          value={user}
          onChange={set_user}
          list={(document.users ?? []).map((one) => one.name)}
        />
      </div>
    </Dialog>
  );
}

export function Users() {
  useLanguage();
  const { tenant } = useStore(draft)!;
  const [tab, set_tab] = useState<"users" | "groups">("users");
  const state = useLoad(
    async () => new Map((await api.table(tenant, "vpn/users")).rows.map((row) => [row["user"] ?? "", row])),
    [tenant],
    10_000,
  );
  const of = (item: NamedItem) => state.value?.get(item.name);
  return (
    <>
      <PageHead title={t("page.users")} lead={t("remote.lead")} />
      <Tabs
        label={t("page.users")}
        value={tab}
        onChange={set_tab}
        tabs={[
          { value: "users", text: t("remote.users") },
          { value: "groups", text: t("remote.user_groups") },
        ]}
      />
      {tab === "groups" ? (
        <ItemList kind={USER_GROUPS} />
      ) : (
        <div class="stack">
          {may("users_edit") && <Note tone="warn">{t("remote.weak")}</Note>}
          <ItemList
            kind={USERS}
            extra={[
              {
                key: "in",
                title: t("remote.now"),
                cell: (item) => {
                  const row = of(item);
                  return row ? (
                    <Badge tone={row["state"] === "in" ? "good" : row["state"] === "shut out" ? "bad" : ""}>
                      {t_or(`user.${row["state"]}`, row["state"] ?? "")}
                    </Badge>
                  ) : (
                    <span class="soft">–</span>
                  );
                },
              },
              {
                key: "address",
                title: t("remote.address"),
                cell: (item) => <span class="mono">{of(item)?.["address"] || "–"}</span>,
              },
              {
                key: "unlock",
                title: t("rules.acts"),
                hide_title: true,
                cell: (item) =>
                  of(item)?.["state"] === "shut out" &&
                  may("sessions_end") && (
                    <Act
                      look="quiet"
                      done={t("remote.unlocked", { name: item.name })}
                      run={async () => {
                        await api.unlock_user(tenant, item.name);
                        state.again();
                      }}
                    >
                      {t("remote.unlock")}
                    </Act>
                  ),
              },
            ]}
          />
        </div>
      )}
    </>
  );
}

export function Devices() {
  useLanguage();
  return (
    <>
      <PageHead title={t("page.devices")} lead={t("remote.devices_lead")} />
      <div class="stack">
        <ItemList kind={DEVICES} />
        <ItemList kind={DEVICE_POLICIES} />
      </div>
    </>
  );
}
